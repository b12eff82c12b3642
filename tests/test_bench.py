"""`make bench` itself works; what it measures is for people to read."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT

from tests.support.paths import ROOT

DEADLINE_SECONDS = 300


async def test_the_quick_bench_of_hello_tells_how_dragon_compares_with_bare_handlers() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench", "--quick", "--only", "hello",
        cwd=ROOT, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    for title in ("hello with block, 64 connections", "hello with block, 1 connection"):
        assert title in text
    ratios = [line.partition(" = ") for line in text.splitlines() if line.startswith("dragon / ")]
    names = [name for name, _, _ in ratios]
    assert names == ["dragon / constant", "dragon / one round trip"] * 2
    assert all(float(ratio) > 0 for _, _, ratio in ratios), text
