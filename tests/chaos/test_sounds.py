"""Recordings that are hostile, or would unfold to too much."""

import random
import time

import pytest

from tests.chaos.check import check
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_inputs import CANARY_SONG, mutated, told_by
from tests.clips import SOUND, Clips
from tests.conftest import Origin
from tests.fetching import Canary

FAMILIES = {
    "mp3": "mp3.mp3",
    "ogg": "vorbis.ogg",
    "flac": "flac.flac",
    "m4a": "aac.m4a",
    "aac": "aac.aac",
    "wav": "pcm.wav",
    "wma": "wma.wma",
    "caf": "pcm.caf",
}


def heard(url: str) -> list[Definition]:
    """All that listens to a recording."""
    return [
        {"task_name": "audio.info", "url": url},
        {"task_name": "audio.waveform", "url": url, "start": 0.5, "format": "json"},
        {"task_name": "audio.convert", "url": url, "codec": "opus", "loudness": -20},
        {"task_name": "audio.convert", "url": url},
    ]


@pytest.mark.chaos(ci=1, long=5)
async def test_p33_sounds_that_unfold_are_refused_and_others_go_on(
    fleet: Fleet, origin: Origin, clips: Clips, n: int
) -> None:
    wav = clips("pcm.wav").read_bytes()
    many = [part for _ in range(40) for part in ("-map", "0")]
    day = ("-f", "lavfi", "-i", "sine=d=2,asetpts=PTS+gt(T\\,1)*86400/TB", "-c:a", "pcm_s16le")
    origin.bodies |= {
        # A sample a second, by its header.
        "slow.wav": wav[:24] + (1).to_bytes(4, "little") + wav[28:],
        "streams.mka": clips("streams.mka", *SOUND, *many, "-c:a", "flac").read_bytes(),
        "day.mka": clips("day.mka", *day).read_bytes(),
        "good.wav": wav,
    }
    bombs = [one for name in ("slow.wav", "streams.mka", "day.mka") for one in _all(origin, name)]
    for _ in range(n):
        good = 3 * _all(origin, "good.wav")
        began = time.monotonic()
        finals = await fleet.wait(await fleet.submit([*bombs, *good]))
        states = [final["status"] for final in finals]
        assert states == len(bombs) * ["error"] + len(good) * ["success"]
        words = [final["result"] for final in finals[: len(bombs)]]
        assert all("more than the limit of" in said for said in words), words
        assert time.monotonic() - began <= 60
    await check(fleet, is_exact=True)


def _all(origin: Origin, name: str) -> list[Definition]:
    return heard(origin.url(name))


@pytest.mark.chaos(ci=8, long=10_000)
@pytest.mark.parametrize("family", FAMILIES)
async def test_p36_mutated_sounds_hurt_nobody(
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
        f"http://127.0.0.1:{canary.port}/canary.mp3\0".encode(),
        f"file:{fleet.data}/canary\0".encode(),
        f"#EXTM3U\n#EXTINF:9,\n{fleet.data}/canary\n".encode(),
    ]
    whole = clips(FAMILIES[family]).read_bytes()
    workers = [worker.process.pid for worker in fleet.workers]
    for first in range(0, n, 100):
        numbers = range(first, min(first + 100, n))
        origin.bodies |= {f"{number}": mutated(whole, baits, chance) for number in numbers}
        await fleet.wait(
            await fleet.submit([heard(origin.url(f"{one}"))[one % 4] for one in numbers])
        )
    assert [worker.process.pid for worker in fleet.workers] == workers
    origin.bodies["whole"] = whole
    finals = await fleet.wait(await fleet.submit(heard(origin.url("whole"))))
    assert {final["status"] for final in finals} == {"success"}
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)
