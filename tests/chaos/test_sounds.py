"""Sounds and pages that are hostile, or would unfold to too much."""

import random

import pytest

from tests.chaos.bombs import assert_refused
from tests.chaos.check import check
from tests.chaos.families import SONGS, heard, scraped
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_inputs import CANARY_SONG, mutated, told_by
from tests.support.clips import SOUND, Clips
from tests.support.fetching import Canary
from tests.support.origin import Origin
from tests.support.paths import ROOT

HOURS = ("-f", "lavfi", "-i", "anullsrc=sample_rate=8000:channel_layout=mono:duration=15000")
JUMP = ("-af", "asetpts='PTS+gte(T,1)*20000/TB'")


@pytest.mark.chaos(ci=1, long=5)
async def test_p33_sounds_that_unfold_are_refused_and_others_go_on(
    fleet: Fleet, origin: Origin, clips: Clips, n: int
) -> None:
    many = [part for _ in range(40) for part in ("-map", "0")]
    silence = clips("silence.flac", *HOURS, "-c:a", "flac").read_bytes()
    wav = clips("pcm.wav").read_bytes()
    origin.bodies |= {
        # A sample a second, by its header.
        "slow": wav[:24] + (1).to_bytes(4, "little") + wav[28:],
        "told": of_flac(clips("flac.flac").read_bytes(), 2**36 - 1),
        "silence": silence,
        "untold": of_flac(silence, 0),
        "jump": clips("jump.mka", *SOUND, *JUMP, "-c:a", "pcm_s16le").read_bytes(),
        "streams": clips("streams.mka", *SOUND, *many, "-c:a", "libopus").read_bytes(),
        "page": b"<html>" + bytes(10 * 1024 * 1024),
        "good": clips("mp3.mp3").read_bytes(),
    }
    songs = ("slow", "told", "silence", "untold", "jump", "streams")
    bombs = [task for name in songs for task in heard(origin.url(name))]
    bombs += scraped(origin.url("page"))
    good = 3 * heard(origin.url("good"))
    for _ in range(n):
        await assert_refused(fleet, bombs, good)
    await check(fleet, is_exact=True)


def of_flac(song: bytes, samples: int) -> bytes:
    """The song with a header that tells so many samples; 0 are an unknown number."""
    fields = int.from_bytes(song[18:26], "big") >> 36 << 36 | samples
    return song[:18] + fields.to_bytes(8, "big") + song[26:]


@pytest.mark.chaos(ci=100, long=100_000)
async def test_p36_mutated_sounds_and_pages_hurt_nobody(
    fleet: Fleet, chance: random.Random, origin: Origin, canary: Canary, clips: Clips, n: int
) -> None:
    (fleet.data / "canary").write_bytes(CANARY_SONG)
    baits = [
        f"http://127.0.0.1:{canary.port}/canary.mp3\0".encode(),
        f"file:{fleet.data}/canary\0".encode(),
        f'<!DOCTYPE a [<!ENTITY b SYSTEM "file:{fleet.data}/canary">]>&b;'.encode(),
    ]
    pages = [path.read_bytes() for path in sorted((ROOT / "tests" / "scraped").iterdir())]
    songs = [clips(name).read_bytes() for name in SONGS.values()]
    for first in range(0, n, 25):
        tasks: list[Definition] = []
        for number in range(first, min(first + 25, n)):
            family, made_of = chance.choice([(heard, songs), (heard, songs), (scraped, pages)])
            origin.bodies[f"{number}"] = mutated(chance.choice(made_of), baits, chance)
            tasks.append(chance.choice(family(origin.url(f"{number}"))))
        await fleet.wait(await fleet.submit(tasks))
    origin.bodies |= {"song": songs[0], "page": pages[0]}
    good = [*heard(origin.url("song")), *scraped(origin.url("page"))]
    assert {final["status"] for final in await fleet.wait(await fleet.submit(good))} == {"success"}
    assert not canary.was_touched
    assert CANARY_SONG not in b"".join([*told_by(fleet)])
    await check(fleet, is_exact=True)
