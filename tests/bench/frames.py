"""A still of a video, beside ffmpeg by hand."""

import asyncio
import itertools
import statistics
import time
from pathlib import Path

import aiohttp

from tests.bench.plan import HEADERS, Plan
from tests.bench.report import Part
from tests.bench.servers import bare_server
from tests.support.clips import FFMPEG, run_ffmpeg
from tests.support.paths import MEDIA

STILLS = 10
SECONDS = 30
WIDTH = 640


async def measure_frames(plan: Plan) -> list[Part]:
    """Wall time of one after the other, in turn: a request of Dragon, a start of ffmpeg."""
    film = _make_film(plan.directory)
    dragon_ms: list[float] = []
    by_hand_ms: list[float] = []
    with plan.dragon("frames") as dragon, bare_server("source", str(film)) as source:
        urls = (f"http://127.0.0.1:{source.port}/photo.jpg?n={n}" for n in itertools.count())
        async with aiohttp.ClientSession(dragon.url, headers=HEADERS) as session:
            for _ in range(3):  # each decoder child loads FFmpeg once
                await asyncio.gather(*(_still(session, next(urls)) for _ in range(4)))
            for _ in range(plan.rounds * STILLS // 5):
                dragon_ms.append(await _still(session, next(urls)))
                by_hand_ms.append(await _by_hand(film, plan.directory))
    rows: list[tuple[str, ...]] = [_row("dragon", dragon_ms), _row("ffmpeg by hand", by_hand_ms)]
    more_ms = statistics.median(dragon_ms) - statistics.median(by_hand_ms)
    return [
        Part(
            title=f"video.thumb {WIDTH} pixels wide, {SECONDS} s into 60 s of H.264, 1280x720",
            columns=("", "median ms", "least to most"),
            rows=rows,
            notes=(
                f"dragon takes {more_ms:+.0f} ms: a request, a download of "
                f"{film.stat().st_size / 1e6:.1f} MB, a confined child, a file kept; "
                "ffmpeg is started anew for each, on a file that is there",
                "a key frame lies every ten seconds, the last one here 0 to 10 s before",
            ),
        )
    ]


def _make_film(directory: Path) -> Path:
    path = directory / "film.mp4"
    source = str(MEDIA / "bigbuckbunny.mp4")
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", "-movflags", "faststart")
    run_ffmpeg("-stream_loop", "-1", "-i", source, "-t", "60", *encoder, str(path))
    return path


async def _still(session: aiohttp.ClientSession, url: str) -> float:
    task = {"task_name": "video.thumb", "url": url, "time": SECONDS, "width": WIDTH}
    began = time.perf_counter()
    async with session.post("/v1/create", json={"tasks": task, "block": True}) as response:
        [final] = await response.json()
    assert final["status"] == "success", final
    return 1000 * (time.perf_counter() - began)


async def _by_hand(film: Path, directory: Path) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        FFMPEG, "-nostdin", "-v", "error", "-y", "-ss", str(SECONDS), "-i", film,
        "-frames:v", "1", "-vf", f"scale={WIDTH}:-1", directory / "by-hand.jpg",
    )  # fmt: skip
    assert await process.wait() == 0
    return 1000 * (time.perf_counter() - began)


def _row(name: str, milliseconds: list[float]) -> tuple[str, str, str]:
    low, middle, high = min(milliseconds), statistics.median(milliseconds), max(milliseconds)
    return name, f"{middle:.0f}", f"{low:.0f} to {high:.0f}"
