"""How late the event loop of a process comes to what is due: one held up serves nobody."""

import asyncio
from bisect import bisect_left

import structlog

from dragon.store.figures import BUCKETS

log = structlog.get_logger()

SAMPLE_SECONDS = 0.05
LATE_SECONDS = 0.25


class LoopLag:
    """A histogram of how much later than asked a short sleep ends, again and again."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total_seconds = 0.0
        self._worst_seconds = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self._add(max(0.0, loop.time() - due))

    def take_worst(self) -> float:
        """Seconds, the most since the last call."""
        worst_seconds, self._worst_seconds = self._worst_seconds, 0.0
        return worst_seconds

    def _add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total_seconds += seconds
        self._worst_seconds = max(self._worst_seconds, seconds)
        if seconds > LATE_SECONDS:
            log.warning("loop_was_held_up", seconds=round(seconds, 3))
