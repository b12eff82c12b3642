"""How long the phases of runs take, gathered in the worker and added up in Valkey."""

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

import structlog

from dragon.errors import Unavailable
from dragon.store.figures import BUCKETS, add_durations
from dragon.store.store import Store

log = structlog.get_logger()

FLUSH_SECONDS = 1.0


class Durations:
    """Adds up histograms, so that any server can tell those of all workers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: Counter[tuple[str, int]] = Counter()
        self._sums: Counter[str] = Counter()

    def add(self, phases: Mapping[str, float]) -> None:
        for phase, seconds in phases.items():
            self._counts[phase, bisect_left(BUCKETS, seconds)] += 1
            self._sums[phase] += max(0, int(seconds * 1e6))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.run_once()

    async def run_once(self) -> None:
        figures = {f"{phase} {bucket}": count for (phase, bucket), count in self._counts.items()}
        figures |= {f"{phase} microseconds": total for phase, total in self._sums.items()}
        self._counts.clear()
        self._sums.clear()
        if not figures:
            return
        try:
            await add_durations(self._store, figures)
        except Unavailable:
            log.warning("durations_dropped")
