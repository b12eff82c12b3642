"""Ways to wait, with a deadline."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from dragon.engine.lag import LATE_SECONDS, SAMPLE_SECONDS, LoopLag

T = TypeVar("T")
DEADLINE_SECONDS = 60.0
"""Far more than anything takes: the machine may be slow, and busy with other tests."""


def _logged(log: str, word: str) -> Iterator[Any]:
    """The events of a log that have this word somewhere.

    To decode only these matters where a test looks again and again at the log of many tests.
    """
    # The last line may be half written.
    whole = log[: log.rfind("\n") + 1]
    lines = [line for line in whole.splitlines() if word in line and line.startswith("{")]
    return map(json.loads, lines)


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Return as soon as the condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.01)


def wait_for(find: Callable[[], T | None], seconds: float = DEADLINE_SECONDS) -> T:
    """The first value that is not None; fails at the deadline."""
    found: list[T] = []

    def look() -> bool:
        value = find()
        if value is not None:
            found.append(value)
        return bool(found)

    wait_until(look, seconds)
    return found[0]


async def eventually(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """The same without holding up the loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        await asyncio.sleep(0.01)


async def until(ask: Callable[[], Awaitable[T]], seconds: float = DEADLINE_SECONDS) -> T:
    """The first answer that is true; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):
            await asyncio.sleep(0.01)
        return answer


async def undisturbed(act: Callable[[], Awaitable[T]]) -> T:
    """What comes of it once the machine has not held up this process meanwhile.

    For what has so little time that a hold-up decides how it ends; any other failure is one.
    """
    lag = LoopLag()
    measuring = asyncio.create_task(lag.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                lag.take_worst()
                try:
                    return await act()
                except Exception:
                    await asyncio.sleep(2 * SAMPLE_SECONDS)
                    if lag.take_worst() < LATE_SECONDS:
                        raise
    finally:
        measuring.cancel()


async def cancelled_in_each_turn(task: asyncio.Task[T]) -> T:
    """What a task comes to that is cancelled in each turn of the loop, until it has ended."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
    return task.result()
