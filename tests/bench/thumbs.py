"""Thumbnails of a photograph: new ones, and those that are answered from what was made before."""

import asyncio
import itertools
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from tests.bench.hello import SUCCESS, alternate, create_target
from tests.bench.load import Target, load, request
from tests.bench.plan import HEADERS, SECRET, Plan
from tests.bench.report import LOAD_COLUMNS, Part, load_rows, median_per_second, rate_cells
from tests.bench.servers import bare_server
from tests.support.paths import MEDIA, ROOT

CONNECTIONS = 16
PLAIN_PROCESSES = 2


async def measure_thumbs(plan: Plan) -> list[Part]:
    """New thumbnails over HTTP, beside libvips in two processes that do nothing else."""
    photo = await _make_photo(plan.directory)
    dragon_rates, plain_rates = [], []
    with plan.dragon("thumbs") as dragon, bare_server("source", str(photo)) as source:
        target = Target(port=dragon.port, make_request=_new_thumbs(source.port), proof=SUCCESS)
        for _ in range(min(plan.rounds, 3)):
            measured = await load(target, CONNECTIONS, plan.thumb_seconds)
            dragon_rates.append(measured.per_second)
            plain_rates.append(await _plain_rate(photo, plan.thumb_seconds))
    ratio = statistics.median(dragon_rates) / statistics.median(plain_rates)
    return [
        Part(
            title="thumbnails, 4000x3000 JPEG to 300x200, every URL new, 16 connections",
            columns=("", "a second", "least to most"),
            rows=[
                ("dragon", *rate_cells(dragon_rates)),
                ("two plain pyvips processes", *rate_cells(plain_rates)),
            ],
            ratios={"dragon / plain pyvips": ratio},
            notes=(
                f"the photograph has {photo.stat().st_size / 1e6:.1f} MB and is in Adobe RGB",
                "dragon: a request, a download, a thumbnail in a confined child, a file kept; "
                "the generator and the source take their share of the processors, too",
                "plain: thumbnail from a path, in sRGB, broken files refused, into a buffer",
                "both write JPEG of quality 85 without metadata; for this size dragon decodes "
                "at an eighth, libvips' thumbnail at a quarter",
            ),
        )
    ]


async def measure_reuse(plan: Plan) -> list[Part]:
    """A redirect that needs no new run, and the file it leads to."""
    photo = await _make_photo(plan.directory)
    with (
        plan.dragon("reuse") as dragon,
        bare_server("source", str(photo)) as source,
        bare_server("constant") as constant,
        bare_server("redirect") as redirect,
    ):
        thumb = {"task_name": "image.thumb", "width": 300, "height": 200}
        query = urlencode(thumb | {"url": _photo_url(source.port), "secret": SECRET})
        create_file = f"/v2/create_file/thumb.jpg?{query}"
        file = await _location(dragon.url + create_file)
        targets = {
            "redirect": _get_target(dragon.port, create_file, 302),
            "file": _get_target(dragon.port, file, 200),
            "bare redirect": _get_target(redirect.port, create_file, 302),
            "constant": create_target(constant.port),
        }
        loads = await alternate(targets, 64, min(plan.rounds, 3), plan.seconds)
    rates = {name: median_per_second(each) for name, each in loads.items()}
    return [
        Part(
            title="a thumbnail that was made before, 64 connections",
            columns=LOAD_COLUMNS,
            rows=load_rows(loads),
            ratios={
                "redirect / bare redirect": rates["redirect"] / rates["bare redirect"],
                "redirect / constant": rates["redirect"] / rates["constant"],
                "file / constant": rates["file"] / rates["constant"],
            },
            notes=(
                "redirect, file: Dragon's, to the same thumbnail and of it",
                "bare redirect: an aiohttp handler that sends all to one place",
            ),
        )
    ]


async def _make_photo(directory: Path) -> Path:
    path = directory / "photo.jpg"
    if not path.exists():
        await _run_vips("make", str(MEDIA / "rocket.jpg"), str(path))
    return path


async def _plain_rate(photo: Path, seconds: float) -> float:
    loops = [_run_vips("loop", str(photo), str(seconds)) for _ in range(PLAIN_PROCESSES)]
    return sum(map(float, await asyncio.gather(*loops)))


async def _run_vips(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.plain_vips", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def _new_thumbs(source_port: int) -> Callable[[], bytes]:
    numbers = itertools.count()

    def make_request() -> bytes:
        url = f"{_photo_url(source_port)}?n={next(numbers)}"
        task = {"task_name": "image.thumb", "url": url, "width": 300, "height": 200}
        return request("POST", "/v1/create", {"tasks": task, "block": True}, **HEADERS)

    return make_request


def _photo_url(source_port: int) -> str:
    return f"http://127.0.0.1:{source_port}/photo.jpg"


async def _location(url: str) -> str:
    """The path that a redirect leads to."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, allow_redirects=False) as response,
    ):
        assert response.status == 302, await response.text()
        return "/files/" + response.headers["Location"].partition("/files/")[2]


def _get_target(port: int, path: str, status: int) -> Target:
    data = request("GET", path)
    return Target(port=port, make_request=lambda: data, status=status)
