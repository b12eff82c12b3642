"""Time as the machine grants it: what a promise of so many seconds is judged by."""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TICK_SECONDS = 0.02
WORK_SECONDS = 0.001
"""What `_work` takes of a processor for which a second is a second."""


class Pace:
    """Counts short sleeps of the test's own loop, one after another.

    While the machine holds this process up, as it does all others, few of them end, and so much
    less is counted; on a slow processor each counts for less. Where nothing else runs it is a
    clock like any other.
    """

    def __init__(self) -> None:
        self._ticks: list[float] = []
        self._slowness = max(1.0, min(_work() for _ in range(5)) / WORK_SECONDS)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._ticks.append(time.time())

    def seconds(self, since: float, until: float | None = None) -> float:
        """What was granted between two moments of `time.time()`, or from one until now."""
        end = len(self._ticks) if until is None else bisect_right(self._ticks, until)
        ticks = max(0, end - bisect_right(self._ticks, since))
        return ticks * TICK_SECONDS / self._slowness


class Waits:
    """How long each of some processes was ready to run while the machine ran others."""

    def __init__(self, pace: Pace, pids: Iterable[int]) -> None:
        self._pace = pace
        self._at: list[float] = []
        self._waited = {pid: [_waited_seconds(pid)] for pid in pids}

    async def run(self) -> None:
        while True:
            self._at.append(time.time())
            for pid, waited in self._waited.items():
                waited.append(_waited_seconds(pid))
            await asyncio.sleep(TICK_SECONDS)

    def own_seconds(self, since: float, until: float, *pids: int) -> float:
        """What these processes themselves took of the span, as far as one knows."""
        first = bisect_left(self._at, since)
        last = min(bisect_left(self._at, until) + 1, len(self._at))
        others = sum(self._waited[pid][last] - self._waited[pid][first] for pid in pids)
        return min(self._pace.seconds(since, until), until - since - others)


def _waited_seconds(pid: int) -> float:
    """Of its main thread, so far; none where the kernel does not tell."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def _work() -> float:
    """Seconds of the processor that a fixed piece of work takes, whatever runs beside it."""
    began = time.thread_time()
    sum(number * number for number in range(20_000))
    return time.thread_time() - began
