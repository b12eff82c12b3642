"""Time as the machine grants it: what a promise of so many seconds is judged by."""

import asyncio
import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from contextlib import suppress
from operator import sub
from pathlib import Path

TICK_SECONDS = 0.02
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
"""In which the kernel counts."""
WORK_SECONDS = 0.001
"""What `_work` takes of a processor for which a second is a second."""


class Pace:
    """Counts short sleeps of the test's own loop, one after another.

    While the machine holds this process up, as it does all others, few of them end, and so much
    less is counted; on a slow processor each counts for less; and what another machine took of
    any processor is not counted, for it may have been the one that was needed. Where nothing else
    runs it is a clock like any other.
    """

    def __init__(self) -> None:
        self._ticks: list[float] = []
        self._stolen: list[list[float]] = []
        self._slowness = max(1.0, min(_work() for _ in range(5)) / WORK_SECONDS)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._ticks.append(time.time())
            self._stolen.append(_stolen_seconds())

    def seconds(self, since: float, until: float | None = None) -> float:
        """What was granted between two moments of `time.time()`, or from one until now."""
        first = bisect_right(self._ticks, since)
        end = len(self._ticks) if until is None else bisect_right(self._ticks, until)
        if end <= first:
            return 0.0
        # The system learns of what was taken when that is over.
        before, after = (
            self._stolen[max(0, first - 1)],
            self._stolen[min(end, len(self._ticks) - 1)],
        )
        stolen = max(map(sub, after, before), default=0.0)
        return max(0.0, (end - first) * TICK_SECONDS - stolen) / self._slowness


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


def _stolen_seconds() -> list[float]:
    """Of each processor, so far; none where the kernel does not tell."""
    with suppress(OSError):
        lines = Path("/proc/stat").read_text().splitlines()
        processors = [line.split() for line in lines if re.match(r"cpu\d", line)]
        return [int(words[8]) / TICKS_A_SECOND for words in processors]
    return []


def _work() -> float:
    """Seconds of the processor that a fixed piece of work takes, whatever runs beside it."""
    began = time.thread_time()
    sum(number * number for number in range(20_000))
    return time.thread_time() - began
