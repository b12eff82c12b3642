"""Finds the job whose files answer a request: one that has ended, one that runs, or a new one."""

import hashlib
from collections.abc import Collection

import msgspec

from dragon.engine.definitions import Definition
from dragon.engine.ended import EndedJobs
from dragon.engine.engine import Engine
from dragon.engine.watching import Watch
from dragon.schemas import Record, decode_status, find_file
from dragon.settings import Account, Settings
from dragon.store.clock import StoreClock
from dragon.store.submission import Submission


class FileJobs:
    """Where a filename is given, a job that has not ended answers once it holds that file."""

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

    async def wait(self, key: str, filename: str = "") -> Record:
        """The record of a job, once it can answer."""
        [record] = await self._engine.read([key])
        if _answers(record, filename):
            return record
        with await self._engine.watches.open([key]) as watch:
            return await self._follow(watch, key, filename)

    async def run(self, submission: Submission, filename: str = "") -> Record:
        """The record of the submission's only job, or of one that answers it already."""
        [update] = submission.updates
        with await self._engine.watches.open([update.key]) as watch:
            answered = await self._engine.queue(submission)
            if not answered:
                watch.skip(update)
                await _news(watch, filename)
                return await self._follow(watch, update.key, filename)
        [record] = answered
        if _answers(record, filename):
            return record
        return await self.wait(record.update.key, filename)

    async def run_reusable(
        self, definition: Definition, account: Account, base_url: str, filename: str = ""
    ) -> Record:
        """The record of a job, or of an identical one that ran or runs."""
        if not self._settings.reuse_seconds or definition.problems:
            return await self.run(self._engine.prepare([definition], account, base_url), filename)
        fingerprint = _fingerprint(definition, account, base_url)
        known = self._recall(self._by_fingerprint, fingerprint)
        if known and self.reuse_seconds_left(known):
            return known
        drops = self._by_fingerprint.drops
        submission = self._engine.prepare([definition], account, base_url, fingerprint=fingerprint)
        record = await self.run(submission, filename)
        if record.update.state == "success":
            self._by_fingerprint.put(fingerprint, record, drops)
        return record

    def drop(self, keys: Collection[str]) -> None:
        """Read these jobs again before they answer; all, if none is named."""
        self._by_key.drop(keys)
        self._by_fingerprint.drop(keys)

    def seconds_left(self, record: Record) -> int:
        """How long the files of an ended job will be kept; 0 for one that may make others yet."""
        return max(0, int(record.expires - self._clock.now()))

    def reuse_seconds_left(self, record: Record) -> int:
        """How long the job may answer identical requests."""
        completed = decode_status(record.update.line).events.completed
        age_seconds = self._clock.age(completed) if completed else 0.0
        reuse_seconds = max(0, int(self._settings.reuse_seconds - age_seconds))
        return min(reuse_seconds, self.seconds_left(record))

    def _recall(self, known: EndedJobs, name: str) -> Record | None:
        """While the feed is cut, nobody tells what is outdated."""
        return known.get(name) if self._engine.watches.is_live else None

    async def _follow(self, watch: Watch, key: str, filename: str) -> Record:
        while True:
            [record] = await self._engine.read([key])
            if _answers(record, filename):
                return record
            watch.skip(record.update)
            await _news(watch, filename)


async def _news(watch: Watch, filename: str) -> None:
    """Wait for the end, or for a result that may hold the file."""
    if not filename:
        await watch.ends()
        return
    while changes := await watch.changes():
        if any(_has_result(change.line) for change in changes):
            return


def _answers(record: Record, filename: str) -> bool:
    return record.update.is_final or bool(filename and find_file(record.files, filename))


def _has_result(line: bytes) -> bool:
    return decode_status(line).result is not msgspec.UNSET


def _fingerprint(definition: Definition, account: Account, base_url: str) -> str:
    parts = [account.name, base_url, definition.task.name, definition.store, definition.params]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
