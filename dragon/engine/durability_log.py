"""Says in the log what makes Valkey unsafe: at the start, and when that changes."""

import asyncio

import structlog

from dragon.errors import Unavailable
from dragon.store.durability import Durability, check_durability
from dragon.store.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 15.0


class DurabilityLog:
    """One warning that nobody needs to ask for; health tells the same for as long as it is so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = Durability(problems=(), warnings=())

    async def run(self) -> None:
        while True:
            await self.run_once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def run_once(self) -> None:
        try:
            found = await check_durability(self._store)
        except Unavailable:
            return
        if found == self._known:
            return
        self._known = found
        if found.problems or found.warnings:
            log.warning("valkey_is_unsafe", problems=found.problems, warnings=found.warnings)
        else:
            log.info("valkey_is_safe")
