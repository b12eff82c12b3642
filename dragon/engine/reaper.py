"""Moves what is due: retries, and jobs whose worker was lost."""

import asyncio
import random

import structlog

from dragon.errors import Unavailable
from dragon.store.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
BATCH = 100


class Reaper:
    """Any number of them may run; each script moves a job once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311
            try:
                await self.run_once()
            except Unavailable as error:
                log.warning("reap_failed", error=error.message)

    async def run_once(self) -> None:
        for shard in range(self._store.keys.shards):
            while await self._reap(shard):
                pass

    async def _reap(self, shard: int) -> bool:
        """Move some of what is due; whether there may be more."""
        promoted, silent, requeued, failed = await self._store.reap(shard, BATCH)
        for key in silent:
            log.info("job_silent", key=key)
        for key in requeued:
            log.warning("job_requeued", key=key, reason="lease ran out")
        for key in failed:
            log.error("job_failed", key=key, reason="lease ran out on the last attempt")
        return BATCH in (len(promoted), len(silent) + len(requeued) + len(failed))
