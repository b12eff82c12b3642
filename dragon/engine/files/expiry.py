"""Deletes the files and records of jobs whose time is over."""

import asyncio
import random
from collections.abc import Sequence
from itertools import compress

import structlog

from dragon.engine.files.outputs import Outputs
from dragon.errors import StorageRefused, StorageUnavailable, Unavailable
from dragon.schemas import Record
from dragon.store.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
PAUSE_AFTER_FAILURE_SECONDS = 30.0
BATCH = 100
READ_KEYS = 10
"""At once: a record may be large."""
MAX_FAILED = 10_000
"""Of one round: their records are read again in the next one."""


class Expiry:
    """Any number of them may run. A store that is away holds up nothing but its own files."""

    def __init__(self, store: Store, outputs: Outputs) -> None:
        self._store = store
        self._outputs = outputs
        self._away: set[str] = set()
        """Stores that did not answer in this round."""

    async def run(self) -> None:
        pause_seconds = PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds * random.uniform(0.75, 1.25))  # noqa: S311
            pause_seconds = PAUSE_SECONDS
            try:
                if await self.run_once():
                    pause_seconds = PAUSE_AFTER_FAILURE_SECONDS
            except Unavailable as error:
                log.warning("expiry_failed", error=error.message)

    async def run_once(self) -> int:
        """Forget all that is due; for how many jobs that failed."""
        self._away.clear()
        return sum([await self._expire(shard) for shard in range(self._store.keys.shards)])

    async def _expire(self, shard: int) -> int:
        failed = 0
        while failed <= MAX_FAILED:
            keys = await self._store.expired_keys(shard, BATCH, start=failed)
            deleted = await self._delete_files(keys)
            # Files first: a record without files is better than files that nobody knows.
            if deleted:
                await self._store.forget(shard, deleted)
                log.info("jobs_forgotten", count=len(deleted))
            failed += len(keys) - len(deleted)
            if len(keys) < BATCH:
                break
        return failed

    async def _delete_files(self, keys: Sequence[str]) -> list[str]:
        """The keys of jobs that have none now."""
        deleted: list[str] = []
        for start in range(0, len(keys), READ_KEYS):
            some = keys[start : start + READ_KEYS]
            records = await self._store.read(some)
            deleted += compress(some, await asyncio.gather(*map(self._is_deleted, records)))
        return deleted

    async def _is_deleted(self, record: Record | None) -> bool:
        if record is None:
            return True
        # To ask each time would take a minute or so, in which nothing else is forgotten.
        if self._outputs.stores_of(record) & self._away:
            return False
        try:
            await self._outputs.delete(record)
        except StorageUnavailable as error:
            if error.store and not isinstance(error, StorageRefused):
                self._away.add(error.store)
            log.warning("files_not_deleted", key=record.update.key, error=error.message)
            return False
        return True
