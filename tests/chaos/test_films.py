"""Videos that are hostile, or would unfold to too much."""

import asyncio
import random
import struct
import time

import pytest

from tests.chaos.check import check
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_inputs import CANARY_SONG, mutated, told_by, watch_memory
from tests.clips import PICTURE, Clips
from tests.conftest import Origin
from tests.fetching import Canary

FAMILIES = {
    "mp4": "h264.mp4",
    "webm": "vp9.webm",
    "mkv": "h264.mkv",
    "avi": "mpeg4.avi",
    "flv": "flv1.flv",
    "ts": "h264.ts",
    "mpg": "mpeg2.mpg",
    "ogv": "theora.ogv",
    "wmv": "wmv2.wmv",
    "gif": "moving.gif",
}


def watched(url: str) -> list[Definition]:
    """All that looks at a film."""
    return [
        {"task_name": "video.info", "url": url},
        {"task_name": "video.thumb", "url": url, "time": 1.5},
        {"task_name": "video.strip", "url": url, "count": 3, "width": 40},
        {"task_name": "video.preview", "url": url, "width": 40},
    ]


@pytest.mark.chaos(ci=1, long=5)
async def test_p33_films_that_unfold_are_refused_and_others_go_on(
    fleet: Fleet, origin: Origin, clips: Clips, n: int
) -> None:
    whole = clips("moving.gif").read_bytes()
    many = [part for _ in range(40) for part in ("-map", "0")]
    days = ("-vf", "setpts='PTS+gte(N,1)*90000/TB'", "-fps_mode", "passthrough")
    wide = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:duration=0.04,setsar=255:max=255")
    origin.bodies |= {
        "pixels.gif": whole[:6] + struct.pack("<HH", 11_000, 11_000) + whole[10:],
        "streams.mkv": clips("streams.mkv", *PICTURE, *many, "-frames:v", "1").read_bytes(),
        "days.mkv": clips("days.mkv", *PICTURE, "-frames:v", "2", *days).read_bytes(),
        "wide.mp4": clips("wide255.mp4", *wide, "-c:v", "libx264").read_bytes(),
        "good.mp4": clips("h264.mp4").read_bytes(),
    }
    bombs = [*watched(origin.url("pixels.gif")), *watched(origin.url("streams.mkv"))]
    bombs += [watched(origin.url("days.mkv"))[0], watched(origin.url("wide.mp4"))[1]]
    for _ in range(n):
        good = 5 * watched(origin.url("good.mp4"))
        began = time.monotonic()
        keys = await fleet.submit([*bombs, *good])
        most_bytes = asyncio.create_task(watch_memory(fleet))
        finals = await fleet.wait(keys)
        most_bytes.cancel()
        await asyncio.wait([most_bytes])
        assert most_bytes.cancelled(), "a decoder took too much"
        states = [final["status"] for final in finals]
        assert states == len(bombs) * ["error"] + len(good) * ["success"]
        words = [final["result"] for final in finals[: len(bombs)]]
        assert all("more than the limit of" in said for said in words), words
        assert time.monotonic() - began <= 60
    await check(fleet, is_exact=True)


@pytest.mark.chaos(ci=12, long=10_000)
@pytest.mark.parametrize("family", FAMILIES)
async def test_p36_mutated_films_hurt_nobody(
    fleet: Fleet,
    chance: random.Random,
    origin: Origin,
    canary: Canary,
    clips: Clips,
    n: int,
    family: str,
) -> None:
    (fleet.data / "canary").write_bytes(CANARY_SONG)
    baits = [
        f"http://127.0.0.1:{canary.port}/canary.mp4\0".encode(),
        f"file:{fleet.data}/canary\0".encode(),
        f"#EXTM3U\n#EXTINF:9,\n{fleet.data}/canary\n".encode(),
    ]
    whole = clips(FAMILIES[family]).read_bytes()
    workers = [worker.process.pid for worker in fleet.workers]
    for first in range(0, n, 100):
        numbers = range(first, min(first + 100, n))
        origin.bodies |= {f"{number}": mutated(whole, baits, chance) for number in numbers}
        await fleet.wait(
            await fleet.submit([watched(origin.url(f"{one}"))[one % 4] for one in numbers])
        )
    assert [worker.process.pid for worker in fleet.workers] == workers
    origin.bodies["whole"] = whole
    finals = await fleet.wait(await fleet.submit(watched(origin.url("whole"))))
    assert {final["status"] for final in finals} == {"success"}
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)
