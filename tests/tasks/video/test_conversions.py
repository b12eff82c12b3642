"""Videos are converted by a whole Dragon: with progress, and nothing left when it has to stop."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.clips import ENDLESS, Clips
from tests.support.origin import Origin
from tests.support.paths import matching
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import eventually, wait_for
from tests.support.wire import next_line, read_lines

FIGURES = {"fraction", "frames", "out_time", "bytes", "speed", "seconds_left"}


def ffmpegs(dragon: Dragon) -> list[psutil.Process]:
    """Those that are at work: no launcher any more, and not only asked for their version."""
    found = []
    for child in dragon.worker().children():
        with suppress(psutil.NoSuchProcess):
            if "ffmpeg" in child.name() and "-progress" in child.cmdline():
                found.append(child)
    return found


async def test_a_conversion_goes_forward_and_gives_a_video(api: Api, origin: Origin) -> None:
    task = {"task_name": "video.convert", "url": origin.url("bigbuckbunny.mp4"), "width": 320}
    began = time.monotonic()
    async with api.create_stream(task) as stream:
        lines = await read_lines(stream)
    took_seconds = time.monotonic() - began
    told = [line["progress"] for line in lines[1:] if "progress" in line]
    fractions = [progress["fraction"] for progress in told]
    assert fractions == sorted(fractions)
    assert len(told) <= 10 * took_seconds + 2
    final = lines[-1]
    assert final["status"] == "success", final
    assert (final["result"]["width"], final["result"]["original_width"]) == (320, 1280)
    async with api.session.get(final["result"]["output"]) as response:
        assert response.content_type == "video/mp4"
        assert (await response.read())[4:8] == b"ftyp"


async def test_a_conversion_tells_how_far_it_is_and_cancelled_it_is_killed_in_mid_work(
    api: Api, dragon: Dragon, origin: Origin, clips: Clips
) -> None:
    origin.bodies["endless.mp4"] = clips("endless.mp4", *ENDLESS).read_bytes()
    task = {"task_name": "video.convert", "url": origin.url("endless.mp4"), "width": 1080}
    async with api.create_stream(task) as stream:
        [created] = await next_line(stream)
        while (await next_line(stream)).get("progress", {}).keys() != FIGURES:
            pass
        running = ffmpegs(dragon)
        assert running
        await api.post("/v1/cancel", {"tasks": created["key"]})
        *_, last = await read_lines(stream)
    assert last["result"] == "cancelled"
    await eventually(lambda: not any(map(is_alive, running)))
    await eventually(lambda: not matching(dragon.data, f"work/*/{created['key']}*"))


async def test_ffmpeg_dies_with_its_worker_and_the_job_is_done_by_the_next(
    tmp_path: Path, origin: Origin
) -> None:
    headers = {"Authorization": f"Secret {SECRET}"}
    task = {"task_name": "video.convert", "url": origin.url("bigbuckbunny.mp4"), "width": 640}
    with Dragon(tmp_path / "d", DRAGON_LEASE_SECONDS="2") as own:
        final = await _survive(own, headers, task)
    assert final["status"] == "success", final


async def _survive(own: Dragon, headers: dict[str, str], task: dict[str, Any]) -> dict[str, Any]:
    """How the job ended, though its worker was killed while ffmpeg was at work."""
    async with aiohttp.ClientSession(own.url, headers=headers) as session:
        async with session.post("/v1/create", json={"tasks": [task]}) as response:
            [created] = await response.json()
        [running] = await asyncio.to_thread(wait_for, lambda: ffmpegs(own) or None)
        own.worker().kill()
        await eventually(lambda: not is_alive(running))
        path = f"/v1/status?tasks={created['key']}&block=true"
        async with session.get(path) as response:
            [final] = await response.json()
        return dict(final)
