"""Sources that would unfold to too much, beside good ones."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from tests.chaos.harness import Definition, Fleet


async def assert_refused(
    fleet: Fleet, bombs: Sequence[Definition], good: Sequence[Definition]
) -> None:
    """Each bomb by a limit, before it is decoded; and all else goes on meanwhile."""
    began = time.time()
    keys = await fleet.submit([*bombs, *good])
    most_bytes = asyncio.create_task(_watch_memory(fleet))
    finals = await fleet.wait(keys)
    most_bytes.cancel()
    await asyncio.wait([most_bytes])
    assert most_bytes.cancelled(), "a decoder took too much"
    words = [final["result"] for final in finals[: len(bombs)]]
    assert [one for one in words if "more than the limit of" not in str(one)] == []
    states = [final["status"] for final in finals]
    assert states == len(bombs) * ["error"] + len(good) * ["success"]
    assert fleet.pace.seconds(began) <= 60


async def _watch_memory(fleet: Fleet) -> None:
    """No decoder may take much memory for what is refused before it is decoded."""
    while True:
        for decoder in fleet.decoders():
            with suppress(psutil.NoSuchProcess):
                assert decoder.memory_info().rss < 600 * 1024 * 1024
        await asyncio.sleep(0.05)
