"""A conversion of a video, beside the same ffmpeg command by hand."""

import asyncio
import statistics
import time
from pathlib import Path

import aiohttp

from tests.bench.plan import HEADERS, Plan
from tests.bench.report import Part
from tests.bench.servers import bare_server
from tests.support.clips import FFMPEG, run_ffmpeg
from tests.support.paths import MEDIA

ENCODER = (
    *("-vf", "setparams=colorspace=bt709,scale=640:360:out_range=tv,setsar=1,format=yuv420p"),
    *("-c:v", "libx264", "-preset", "medium", "-g", "250"),
    *("-crf", "23", "-maxrate", "3000k", "-bufsize", "6000k"),
    *("-c:a", "aac", "-b:a", "128k", "-ar", "44100", "-ac", "2"),
    *("-map_metadata", "-1", "-movflags", "+faststart"),
)


async def measure_encodes(plan: Plan) -> list[Part]:
    """Wall time of whole jobs in turn with ffmpeg, each alone on the machine."""
    film = _make_film(plan)
    dragon_seconds: list[float] = []
    by_hand_seconds: list[float] = []
    with plan.dragon("encodes") as dragon, bare_server("source", str(film)) as source:
        async with aiohttp.ClientSession(dragon.url, headers=HEADERS) as session:
            for number in range(plan.rounds):
                url = f"http://127.0.0.1:{source.port}/photo.jpg?n={number}"
                dragon_seconds.append(await _convert(session, url))
                by_hand_seconds.append(await _by_hand(film, plan.directory))
    by_hand = statistics.median(by_hand_seconds)
    return [
        Part(
            title=f"video.convert, {plan.film_seconds:g} s of H.264, 1280x720 to 640x360",
            columns=("", "median s", "least to most"),
            rows=[_row("dragon", dragon_seconds), _row("ffmpeg by hand", by_hand_seconds)],
            ratios={"dragon / ffmpeg by hand": statistics.median(dragon_seconds) / by_hand},
            notes=(
                f"dragon: a request, a download of {film.stat().st_size / 1e6:.1f} MB, two looks "
                "at what is in a file, ffmpeg confined and asked how far it is, a file kept",
                "by hand: the same arguments for the same output, on a file that is there",
            ),
        )
    ]


def _make_film(plan: Plan) -> Path:
    path = plan.directory / "film-to-convert.mp4"
    source = str(MEDIA / "bigbuckbunny.mp4")
    length = ("-t", str(plan.film_seconds), "-c", "copy", "-movflags", "faststart")
    run_ffmpeg("-stream_loop", "-1", "-i", source, *length, str(path))
    return path


async def _convert(session: aiohttp.ClientSession, url: str) -> float:
    task = {"task_name": "video.convert", "url": url, "width": 640}
    began = time.perf_counter()
    async with session.post("/v1/create", json={"tasks": task, "block": True}) as response:
        [final] = await response.json()
    assert final["status"] == "success", final
    return time.perf_counter() - began


async def _by_hand(film: Path, directory: Path) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        FFMPEG, "-nostdin", "-v", "error", "-y", "-i", film, *ENCODER, directory / "by-hand.mp4"
    )
    assert await process.wait() == 0
    return time.perf_counter() - began


def _row(name: str, seconds: list[float]) -> tuple[str, str, str]:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"
