"""Moves what is due: retries, jobs whose worker was lost, and records whose time is over."""

import asyncio
import random

import structlog

from dragon.engine.outputs import Outputs
from dragon.errors import Unavailable
from dragon.store.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
BATCH = 100


class Reaper:
    """Any number of them may run; each script moves a job once."""

    def __init__(self, store: Store, outputs: Outputs) -> None:
        self._store = store
        self._outputs = outputs

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
            while await self._expire(shard):
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

    async def _expire(self, shard: int) -> bool:
        """Files first: a record without files is better than files that nobody knows."""
        keys = await self._store.expired_keys(shard, BATCH)
        deleted = [key for key in keys if await self._delete(key)]
        if deleted:
            await self._store.forget(shard, deleted)
            log.info("jobs_forgotten", count=len(deleted))
        return len(deleted) == BATCH

    async def _delete(self, key: str) -> bool:
        try:
            await self._outputs.delete(key)
        except OSError as error:
            log.exception("files_not_deleted", key=key, error=error.strerror)
            return False
        return True
