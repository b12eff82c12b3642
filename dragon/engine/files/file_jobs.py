"""Finds the job whose files answer a request: one that has ended, one that runs, or a new one."""

import asyncio
import functools
import hashlib
from collections.abc import Set
from datetime import datetime

import msgspec
from msgspec import Struct

from dragon.engine.definitions import Definition
from dragon.engine.engine import Engine
from dragon.engine.files.ended import EndedJobs
from dragon.engine.watch import Watch
from dragon.schemas import Record, Update, decode_status, find_file
from dragon.settings import Account, Settings
from dragon.store.clock import StoreClock
from dragon.store.submission import Submission

YEAR_SECONDS = 365 * 86_400
"""What is kept for ever is told as this: some caches take more for a mistake."""


class Wish(Struct, frozen=True, kw_only=True):
    """What is waited for: the end of a job or, where a filename is given, that file before it.

    Nobody waits longer than until `deadline`, a time of the event loop; None for ever.
    """

    filename: str = ""
    deadline: float | None = None

    def is_granted(self, record: Record) -> bool:
        return record.update.is_final or bool(
            self.filename and find_file(record.files, self.filename)
        )


class FileJobs:
    """Records are returned when the wish is granted, or its deadline has passed."""

    def __init__(self, settings: Settings, engine: Engine, clock: StoreClock) -> None:
        self._settings = settings
        self._engine = engine
        self._clock = clock
        self._by_key = EndedJobs()
        self._by_fingerprint = EndedJobs()
        engine.watches.on_outdated = self.drop

    async def read(self, key: str) -> Record:
        """The record of one job; an ended one is read once while its files are kept."""
        known = self._recall(self._by_key, key)
        if known and self.seconds_left(known):
            return known
        drops = self._by_key.drops
        [record] = await self._engine.read([key])
        if record.update.is_final:
            self._by_key.put(key, record, drops)
        return record

    async def wait(self, key: str, wish: Wish) -> Record:
        """The record of a job."""
        [record] = await self._engine.read([key])
        if wish.is_granted(record):
            return record
        with await self._engine.watches.open([key]) as watch:
            return await self._follow(watch, key, wish)

    async def run(self, submission: Submission, wish: Wish) -> Record:
        """The record of the submission's only job, or of one that answers it already."""
        [update] = submission.updates
        with await self._engine.watches.open([update.key]) as watch:
            answered = await self._engine.queue(submission)
            # It is as large as the request: who waits, for hours perhaps, must not hold it.
            del submission
            if not answered:
                watch.skip(update)
                await _news(watch, wish, update)
                return await self._follow(watch, update.key, wish)
        [ticket] = answered
        return await self.wait(ticket.key, wish)

    def fingerprint(self, definition: Definition, account: Account, base_url: str) -> str:
        """What identical requests share; empty for what is never reused."""
        if not self._settings.reuse_seconds or definition.problems:
            return ""
        parts = [account.name, base_url, definition.task.name, definition.store, definition.params]
        return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

    def find_reusable(self, fingerprint: str) -> Record | None:
        """The record of a job that ran, as far as this server remembers."""
        known = self._recall(self._by_fingerprint, fingerprint)
        return known if known and self.reusable_until(known) > self._clock.now() else None

    async def run_reusable(
        self, definition: Definition, account: Account, base_url: str, fingerprint: str, wish: Wish
    ) -> Record:
        """The record of a job, or of an identical one that ran or runs."""
        drops = self._by_fingerprint.drops
        submission = self._engine.prepare([definition], account, base_url, fingerprint=fingerprint)
        record = await self.run(submission, wish)
        if fingerprint and record.update.state == "success":
            self._by_fingerprint.put(fingerprint, record, drops)
        return record

    def drop(self, keys: Set[str]) -> None:
        """Read these jobs again before they answer; all, if none is named."""
        self._by_key.drop(keys)
        self._by_fingerprint.drop(keys)

    def seconds_left(self, record: Record) -> int:
        """How long the files of an ended job will be kept, as far as caches look ahead.

        0 for one that may make others yet.
        """
        return min(max(0, int(record.expires - self._clock.now())), YEAR_SECONDS)

    def reusable_until(self, record: Record) -> float:
        """The unix time until which the job may answer identical requests."""
        completed = decode_status(record.update.line).events.completed
        if not completed:
            return 0
        ended = datetime.fromisoformat(completed).timestamp()
        return min(ended + self._settings.reuse_seconds, record.expires)

    def _recall(self, known: EndedJobs, name: str) -> Record | None:
        """While the feed is cut, nobody tells what is outdated."""
        return known.get(name) if self._engine.watches.is_live else None

    async def _follow(self, watch: Watch, key: str, wish: Wish) -> Record:
        loop = asyncio.get_running_loop()
        while True:
            [record] = await self._engine.read([key])
            is_late = wish.deadline is not None and wish.deadline <= loop.time()
            if is_late or wish.is_granted(record):
                return record
            watch.skip(record.update)
            await _news(watch, wish, record.update)


async def _news(watch: Watch, wish: Wish, known: Update) -> None:
    """Wait for the end, or for another result, which may hold the file, or for the deadline."""
    result = _result_of(known)
    try:
        async with asyncio.timeout_at(wish.deadline):
            if not wish.filename:
                await watch.ends()
                return
            while changes := await watch.changes():
                if any(_result_of(change) != result for change in changes):
                    return
    except TimeoutError:
        return


class _Told(Struct, frozen=True, kw_only=True):
    result: msgspec.Raw = msgspec.Raw()


@functools.lru_cache(maxsize=1)
def _result_of(update: Update) -> bytes:
    """As it is encoded. Hundreds may wait for one job, and each progress repeats the result."""
    return bytes(msgspec.json.decode(update.line, type=_Told).result)
