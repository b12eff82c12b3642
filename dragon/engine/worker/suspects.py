"""Jobs that lost a worker before and must run alone: when a worker takes one of them."""

import asyncio
import math
from collections.abc import Iterable

from dragon.schemas import Claim, Kind

BUSY_KINDS: frozenset[Kind] = frozenset({"fast", "heavy"})
"""Jobs of the other kinds mostly wait: they neither kill a worker nor keep it from being alone."""


class Suspects:
    """What may kill its worker. While one waits or runs, the worker takes nothing else.

    Others that run already may take an hour: after `patience_seconds` a suspect runs beside them,
    but never beside another one.
    """

    def __init__(self, kinds: Iterable[Kind], patience_seconds: float) -> None:
        self.kinds = BUSY_KINDS.intersection(kinds)
        self._patience_seconds = patience_seconds
        self._waiting = 0
        self._waiting_since = math.inf
        self._running: Claim | None = None

    @property
    def need_the_worker(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def pause_seconds(self) -> float:
        """How soon to see whether one that waits has waited long enough."""
        return self._patience_seconds if self._waiting else math.inf

    def note_waiting(self, count: int) -> None:
        self._waiting = count
        self._waiting_since = min(self._waiting_since, _now()) if count else math.inf

    def is_next(self, runs: Iterable[Claim]) -> bool:
        """Whether to take one now, beside these."""
        if not self._waiting:
            return False
        has_waited = _now() >= self._waiting_since + self._patience_seconds
        is_alone = not any(claim.job.kind in self.kinds for claim in runs)
        return is_alone or (has_waited and not self._running)

    def begin(self, claim: Claim) -> None:
        """One is taken, and those behind it begin to wait."""
        self._running = claim
        self._waiting_since = math.inf

    def end(self, claim: Claim) -> bool:
        """Whether that was the one that ran."""
        if claim is not self._running:
            return False
        self._running = None
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
