"""Keeps telling servers that a worker is there, and what it is like."""

import asyncio
from collections.abc import Mapping

import structlog

from dragon.engine.lag import LoopLag
from dragon.errors import Unavailable
from dragon.store.figures import ANNOUNCE_SECONDS, announce_worker
from dragon.store.store import Store

log = structlog.get_logger()


class Announcer:
    """Three times before the announcement would be forgotten."""

    def __init__(self, store: Store, name: str, about: Mapping[str, object], lag: LoopLag) -> None:
        self._store = store
        self._name = name
        self._about = about
        self._lag = lag

    async def run(self) -> None:
        while True:
            await self.run_once()
            await asyncio.sleep(ANNOUNCE_SECONDS / 3)

    async def run_once(self) -> None:
        lag_seconds = round(self._lag.take_worst(), 3)
        about = {**self._about, "loop_lag_seconds": lag_seconds}
        try:
            await announce_worker(self._store, self._name, about)
        except Unavailable as error:
            log.warning("announce_failed", error=error.message)
