"""Deletes the files and records of jobs whose time is over."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from dragon.engine.files.outputs import Outputs
from dragon.errors import StorageRefused, StorageUnavailable, Unavailable
from dragon.schemas import Record
from dragon.store.store import Store

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
PAUSE_AFTER_FAILURE_SECONDS = 30.0
HOLD_SECONDS = 120.0
"""Whoever takes jobs has so long to forget them, longer than a store is waited for by default."""
BATCH = 100
MAX_FAILED = 10_000
"""Of one round, before the stores that were away are asked again."""


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
        while failed < MAX_FAILED:
            records = await self._store.expire(shard, BATCH, HOLD_SECONDS)
            if not records:
                break
            deleted = await self._delete_files(records)
            # Files first: a record without files is better than files that nobody knows.
            if deleted:
                await self._store.forget(shard, [record.update.key for record in deleted])
                log.info("jobs_forgotten", count=len(deleted))
            failed += len(records) - len(deleted)
        return failed

    async def _delete_files(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those that have none now."""
        in_reach = self._in_reach(records)
        # All at once, for the sake of stores, or else each by itself, to find out which fail.
        if await self._are_deleted(in_reach):
            return in_reach
        return [one for one in in_reach if self._in_reach([one]) and await self._are_deleted([one])]

    def _in_reach(self, records: Sequence[Record]) -> Sequence[Record]:
        # To ask each time would take a minute or so, in which nothing else is forgotten.
        return [one for one in records if not self._outputs.stores_of(one) & self._away]

    async def _are_deleted(self, records: Sequence[Record]) -> bool:
        try:
            await self._outputs.delete(records)
        except StorageUnavailable as error:
            if error.store and not isinstance(error, StorageRefused):
                self._away.add(error.store)
            keys = [record.update.key for record in records]
            log.warning("files_not_deleted", keys=keys, error=error.message)
            return False
        return True
