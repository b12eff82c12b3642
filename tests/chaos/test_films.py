"""Videos that are hostile, or would unfold to too much."""

import random
import struct
from pathlib import Path

import pytest

from tests.chaos.bombs import assert_refused
from tests.chaos.check import check
from tests.chaos.families import FILMS, filmed, watched
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_inputs import CANARY_SONG, mutated, told_by
from tests.support.clips import PICTURE, Clips
from tests.support.fetching import Canary
from tests.support.origin import Origin


@pytest.mark.chaos(ci=1, long=5)
async def test_p33_films_that_unfold_are_refused_and_others_go_on(
    fleet: Fleet, origin: Origin, clips: Clips, n: int
) -> None:
    whole = clips("moving.gif").read_bytes()
    many = [part for _ in range(40) for part in ("-map", "0")]
    days = ("-vf", "setpts='PTS+gte(N,1)*90000/TB'", "-fps_mode", "passthrough")
    hours = ("-vf", "setpts='PTS+gte(N,1)*14000/TB'", "-fps_mode", "passthrough")
    wide = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:duration=0.04,setsar=255:max=255")
    origin.bodies |= {
        "pixels.gif": whole[:6] + struct.pack("<HH", 11_000, 11_000) + whole[10:],
        "streams.mkv": clips("streams.mkv", *PICTURE, *many, "-frames:v", "1").read_bytes(),
        "days.mkv": clips("days.mkv", *PICTURE, "-frames:v", "2", *days).read_bytes(),
        "hours.mkv": clips("hours.mkv", *PICTURE, "-frames:v", "2", *hours).read_bytes(),
        "frames.mp4": of_frames(clips("one.mp4", *PICTURE, "-frames:v", "1"), 1_000_001),
        "wide.mp4": clips("wide255.mp4", *wide, "-c:v", "libx264").read_bytes(),
        "good.mp4": clips("h264.mp4").read_bytes(),
    }
    names = ("pixels.gif", "streams.mkv", "days.mkv", "frames.mp4")
    urls = [origin.url(name) for name in names]
    bombs = [task for url in urls[:2] for task in watched(url)]
    # A look at a frame of the others does not unfold.
    bombs += [watched(url)[0] for url in urls[2:]]
    bombs += [task for url in urls for task in filmed(url)]
    bombs += [{"task_name": "video.convert", "url": origin.url("wide.mp4")}]
    bombs += [filmed(origin.url("hours.mkv"))[0] | {"frame_rate": 120}]
    for _ in range(n):
        good = [*5 * watched(origin.url("good.mp4")), *filmed(origin.url("good.mp4"))]
        await assert_refused(fleet, bombs, good)
    await check(fleet, is_exact=True)


def of_frames(film: Path, count: int) -> bytes:
    """An MP4 of one frame that tells of so many."""
    data = bytearray(film.read_bytes())
    for box, place in ((b"stts", 12), (b"stsz", 12), (b"stsc", 16)):
        start = data.index(box) + place
        data[start : start + 4] = count.to_bytes(4, "big")
    return bytes(data)


def by_turns(url: str, number: int) -> Definition:
    tasks = [*watched(url), *filmed(url)]
    return tasks[number % len(tasks)]


@pytest.mark.chaos(ci=16, long=10_000)
async def test_p36_mutated_films_hurt_nobody(
    fleet: Fleet,
    chance: random.Random,
    origin: Origin,
    canary: Canary,
    clips: Clips,
    n: int,
) -> None:
    """So many of each family."""
    (fleet.data / "canary").write_bytes(CANARY_SONG)
    baits = [
        f"http://127.0.0.1:{canary.port}/canary.mp4\0".encode(),
        f"file:{fleet.data}/canary\0".encode(),
        f"#EXTM3U\n#EXTINF:9,\n{fleet.data}/canary\n".encode(),
    ]
    for family, clip in FILMS.items():
        whole = clips(clip).read_bytes()
        for first in range(0, n, 100):
            numbers = range(first, min(first + 100, n))
            origin.bodies |= {f"{one}.{family}": mutated(whole, baits, chance) for one in numbers}
            tasks = [by_turns(origin.url(f"{one}.{family}"), one) for one in numbers]
            await fleet.wait(await fleet.submit(tasks))
        origin.bodies[family] = whole
        finals = await fleet.wait(await fleet.submit(watched(origin.url(family))))
        assert {final["status"] for final in finals} == {"success"}
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)
