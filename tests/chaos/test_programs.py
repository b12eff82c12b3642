"""Encodes that are killed, stopped, cancelled, endless, or find the disk full."""

import asyncio
import random
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.check import check, has_tidied_up
from tests.chaos.harness import Definition, Fleet
from tests.chaos.test_crashes import is_lost
from tests.chaos.test_decoders import have_run
from tests.support.clips import Clips
from tests.support.origin import Origin
from tests.support.processes import Part, is_alive
from tests.support.waiting import eventually

ENDLESS = {"task_name": "site.encode"}
ENDLESS_SECONDS = 3


def serve_long(origin: Origin, clips: Clips) -> list[Definition]:
    """All that has ffmpeg make something of what takes it minutes."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=60")
    noise = ("-f", "lavfi", "-i", "anoisesrc=duration=3600:sample_rate=8000:amplitude=0.1")
    film = clips("long.mkv", *picture, "-c:v", "mpeg4", "-q:v", "20")
    song = clips("long.wav", *noise, "-c:a", "pcm_u8")
    origin.bodies |= {"film": film.read_bytes(), "song": song.read_bytes()}
    film_url, song_url = origin.url("film"), origin.url("song")
    convert: Definition = {"task_name": "video.convert", "url": film_url, "width": 1920}
    return [
        convert,
        convert | {"max_bytes": 5_000_000},
        {"task_name": "video.reverse", "url": film_url, "width": 1920},
        {"task_name": "video.concat", "urls": [film_url, film_url], "width": 1920},
        {"task_name": "media.pipeline", "steps": {"large": convert}},
        {"task_name": "audio.convert", "url": song_url, "codec": "vorbis", "sample_rate": 48_000},
        {"task_name": "audio.convert", "url": song_url, "loudness": -20},
    ]


@pytest.mark.chaos(ci=3, long=100)
async def test_p19_no_program_outlives_a_killed_worker(
    short_leased: Fleet, chance: random.Random, origin: Origin, clips: Clips, n: int
) -> None:
    fleet = short_leased
    definitions = serve_long(origin, clips)
    cancelled = 0
    for _ in range(n):
        keys = await fleet.submit(chance.sample(definitions, 3))
        await eventually(partial(programs_of, fleet.workers))
        # At first it is still its launcher.
        await asyncio.sleep(chance.choice([0, chance.uniform(0, 1)]))
        await eventually(partial(programs_of, fleet.workers))
        busy = [worker for worker in fleet.workers if programs_of([worker])]
        await fleet.kill(chance.choice(busy or fleet.workers))
        await fleet.start("worker")
        cancelled += await cancel(fleet, keys)
    assert cancelled
    await check(fleet)


@pytest.mark.chaos(ci=1, long=20)
async def test_p19_a_cancelled_task_leaves_no_program(
    fleet: Fleet, chance: random.Random, origin: Origin, clips: Clips, n: int
) -> None:
    definitions = serve_long(origin, clips)
    cancelled = 0
    for _ in range(n):
        for definition in definitions:
            keys = await fleet.submit([definition])
            await eventually(partial(programs_of, fleet.workers))
            await asyncio.sleep(chance.uniform(0, 0.5))
            cancelled += await cancel(fleet, keys)
    assert cancelled > len(definitions) * n / 2
    await check(fleet)


async def cancel(fleet: Fleet, keys: list[str]) -> int:
    """None of their programs may live shortly after they have ended.

    Returns how many that ended: a fast machine may have done with others.
    """
    status, _ = await fleet.api().post("/v1/cancel", {"tasks": keys})
    assert status == 200
    finals = without_lost(await fleet.wait(keys))
    cancelled = [final for final in finals if final["result"] == "cancelled"]
    assert [one for one in finals if one not in cancelled and one["status"] != "success"] == []
    await fleet.within(5, lambda: not programs_of(fleet.workers))
    return len(cancelled)


def without_lost(finals: Sequence[Any]) -> list[Any]:
    """Where the machine holds workers up, too, a task may have lost three."""
    return [final for final in finals if not is_lost(final)]


def programs_of(workers: Sequence[Part]) -> list[psutil.Process]:
    """Programs, and what is about to become one."""
    return [
        child
        for worker in workers
        for child in worker.process.children()
        if is_alive(child) and not is_decoder(child)
    ]


def is_decoder(child: psutil.Process) -> bool:
    """Or what has just ended, or is between fork and exec, and thus the worker once more."""
    with suppress(psutil.NoSuchProcess):
        words = child.cmdline()
        return "dragon.engine.isolation.child" in words or "worker" in words
    return True


@pytest.mark.chaos(ci=3, long=50)
async def test_p20_a_program_that_hangs_or_finds_no_end_is_ended_in_time(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for _ in range(n):
        keys = await fleet.submit(2 * [ENDLESS])
        await eventually(partial(are_under_way, fleet, keys))
        began = time.time()
        await asyncio.sleep(chance.uniform(0, 1))
        running = programs_of(fleet.workers)
        with suppress(psutil.NoSuchProcess, IndexError):
            chance.choice(running).suspend()
        for final in await fleet.wait(keys):
            assert final["status"] == "error"
            assert final["result"] == f"the task took longer than its {ENDLESS_SECONDS} seconds"
        assert fleet.pace.seconds(began) <= ENDLESS_SECONDS + 5
        await fleet.within(2, lambda: not programs_of(fleet.workers))
    await check(fleet, is_exact=True)


@pytest.mark.chaos(ci=2, long=50)
async def test_p20_a_program_that_is_killed_runs_again(
    fleet: Fleet, chance: random.Random, origin: Origin, clips: Clips, n: int
) -> None:
    origin.bodies["film"] = clips("h264.mp4").read_bytes()
    convert = {"task_name": "video.convert", "url": origin.url("film"), "width": 640}
    for _ in range(n):
        keys = await fleet.submit([convert])
        await eventually(partial(are_under_way, fleet, keys))
        await asyncio.sleep(chance.uniform(0, 0.2))
        killed = [await has_killed(program) for program in programs_of(fleet.workers)]
        [final] = await fleet.wait(keys)
        assert final["status"] == "success"
        assert await fleet.attempts(keys) == [1 + any(killed)]
    await check(fleet, is_exact=True)


def are_under_way(fleet: Fleet, keys: Sequence[str]) -> bool:
    """A program of theirs was seen; or they were faster."""
    return bool(programs_of(fleet.workers)) or have_run(fleet, set(keys))


async def has_killed(program: psutil.Process) -> bool:
    """Whether that did end it: one that stands still cannot end by itself meanwhile."""
    ended = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    with suppress(psutil.NoSuchProcess):
        program.suspend()
        await eventually(lambda: program.status() in ended)
        is_stopped = program.status() == psutil.STATUS_STOPPED
        program.kill()
        return is_stopped
    return False


@pytest.mark.chaos(ci=2, long=50)
async def test_p21_nothing_is_left_of_any_family(
    short_leased: Fleet, chance: random.Random, origin: Origin, clips: Clips, n: int
) -> None:
    fleet = short_leased
    origin.bodies |= {
        "film": clips("h264.mp4").read_bytes(),
        "page": b"<html><title>A page</title><img src=/rocket.jpg>",
    }
    for _ in range(n):
        await fleet.submit(chance.sample(of_all_families(origin), 8), chance)
        await asyncio.sleep(chance.uniform(0, 1.5))
        await fleet.kill(chance.choice(fleet.workers))
        await fleet.start("worker")
    finals = await fleet.wait(fleet.ledger.keys)
    assert [one for one in without_lost(finals) if one["status"] != "success"] == []
    await check(fleet)
    await asyncio.gather(*(fleet.drain(worker) for worker in list(fleet.workers)))
    assert list((fleet.data / "work").iterdir()) == []


def of_all_families(origin: Origin) -> list[Definition]:
    """What succeeds, and takes no long."""
    film, picture = origin.url("film"), origin.url("rocket.jpg")
    small: Definition = {"task_name": "image.thumb", "url": picture, "width": 64}
    grey = {"task_name": "image.convert", "url": "step:small/output"}
    steps = {"small": small, "grey": grey | {"operations": [{"type": "grey"}]}}
    return [
        small,
        {"task_name": "image.thumbs", "url": picture, "sizes": {"a": {"width": 32}}},
        {"task_name": "image.strip", "urls": [picture, picture], "width": 32},
        {"task_name": "video.thumb", "url": film, "time": 1},
        {"task_name": "video.convert", "url": film, "width": 80},
        {"task_name": "video.reverse", "url": film, "width": 80},
        {"task_name": "video.concat", "urls": [film, film], "width": 80},
        {"task_name": "audio.info", "url": film},
        {"task_name": "audio.convert", "url": film, "codec": "mp3"},
        {"task_name": "html.scrape", "url": origin.url("page")},
        {"task_name": "media.pipeline", "steps": steps, "result": {"grey": "step:grey/output"}},
    ]


@pytest.mark.chaos(ci=2, long=50)
async def test_p22_a_disk_that_fills_up_during_an_encode_is_an_error_that_passes(
    fleet_on_small_disk: Fleet,
    small_disk: Path,
    chance: random.Random,
    origin: Origin,
    clips: Clips,
    n: int,
) -> None:
    fleet = fleet_on_small_disk
    origin.bodies["film"] = clips("h264.mp4").read_bytes()
    url, ballast = origin.url("film"), small_disk / "ballast"
    large = {"width": 640, "crf": 1, "gop": 1, "video_bitrate": 90_000}
    small = {"width": 80, "crf": 40}
    for _ in range(n):
        task: Definition = chance.choice(
            [
                {"task_name": "video.convert", "url": url},
                {"task_name": "video.reverse", "url": url},
                {"task_name": "video.concat", "urls": [url, url]},
            ]
        )
        room = chance.randint(1, 300_000)
        await eventually(partial(has_tidied_up, fleet))
        ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - room))
        [final] = await fleet.wait(await fleet.submit([task | large]))
        assert final["status"] == "error"
        assert "the worker's disk failed: No space left on device" in final["result"]
        ballast.unlink()
        [final] = await fleet.wait(await fleet.submit([task | small]))
        assert final["status"] == "success"
    await check(fleet, is_exact=True)
