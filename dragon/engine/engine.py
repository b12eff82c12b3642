"""Submits, reads and waits for jobs: what every face calls."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import structlog

from dragon.engine.definitions import Definition
from dragon.engine.network.webhooks import hook_of
from dragon.engine.watch import Watch
from dragon.engine.watching import Watches
from dragon.errors import TooLarge, UnknownKeys
from dragon.registry import Registry
from dragon.schemas import (
    Events,
    Job,
    Record,
    Status,
    Ticket,
    Update,
    WrongParameters,
    decode_job,
    encode,
    is_key,
)
from dragon.settings import Account, Settings
from dragon.store.store import Store
from dragon.store.submission import Hook, Idempotency, Submission

log = structlog.get_logger()

READ_KEYS = 500
READ_JOBS = 10
"""At once: each may be as large as a request."""


class Engine:
    """The same for all faces. Methods raise Unavailable when the store cannot be reached."""

    def __init__(
        self, settings: Settings, registry: Registry, store: Store, watches: Watches
    ) -> None:
        self.registry = registry
        self.watches = watches
        self._settings = settings
        self._store = store

    def prepare(
        self,
        definitions: Sequence[Definition],
        account: Account,
        base_url: str,
        *,
        fingerprint: str = "",
        idempotency: Idempotency | None = None,
    ) -> Submission:
        """The jobs of one request; one with the same `fingerprint` may answer it.

        With `idempotency` the request's own jobs answer it when it is repeated.
        """
        shard = self._store.keys.shard_for(idempotency.key if idempotency else fingerprint or None)
        queued = self._store.clock.iso()
        jobs = [
            self._job(definition, account, base_url, shard, queued) for definition in definitions
        ]
        return Submission(
            account=account.name,
            limits=account.limits,
            weight=account.weight,
            jobs=tuple(jobs),
            updates=tuple(map(_first_update, definitions, jobs)),
            shard=shard,
            fingerprint=fingerprint,
            reuse_seconds=self._settings.reuse_seconds,
            idempotency=idempotency,
            hooks=dict(filter(None, map(self._hook, definitions, jobs))),
        )

    async def submit(self, submission: Submission) -> Sequence[Update]:
        """Queue the jobs; their first statuses, or those of now where they were there already.

        Raises OverLimits or Conflict, and then nothing is queued.
        """
        answered = await self.queue(submission)
        if answered is None:
            return submission.updates
        try:
            return [record.update for record in await self.read([one.key for one in answered])]
        except TooLarge:
            return list(map(_queued, answered))

    async def queue(self, submission: Submission) -> list[Ticket] | None:
        """Queue the jobs; or the tickets of those that answer the request already."""
        answered = await self._store.submit(submission)
        if answered is None:
            for job, update in zip(submission.jobs, submission.updates, strict=True):
                log.info(
                    "job_created",
                    key=job.key,
                    task=job.task,
                    account=job.account,
                    status=update.state,
                )
        return answered

    async def run(self, submission: Submission) -> Sequence[Update]:
        """Queue the jobs and wait until all have ended; their final statuses, in order.

        Their first ones, if these are more than one answer may hold: the jobs are there, and who
        created them must learn their keys.
        """
        answered, watch = await self._queue_and_watch(submission)
        first = list(map(_queued, answered)) if answered else submission.updates
        # It is as large as the request: who waits, for hours perhaps, must not hold it.
        del submission
        try:
            if answered:
                return await self.wait([update.key for update in first])
            with watch:
                return await self._ends(first, watch)
        except TooLarge:
            return first

    async def submit_and_watch(self, submission: Submission) -> tuple[Sequence[Update], Watch]:
        """Queue the jobs; their first statuses, and a watch of those that have not ended."""
        answered, watch = await self._queue_and_watch(submission)
        if answered:
            return await self.watch([one.key for one in answered])
        return submission.updates, watch

    async def _queue_and_watch(self, submission: Submission) -> tuple[list[Ticket] | None, Watch]:
        """The watch is closed where the request was answered: none of its jobs will ever be."""
        keys = [update.key for update in submission.updates if not update.is_final]
        # Who watches first misses nothing.
        watch = await self.watches.open(keys)
        try:
            answered = await self.queue(submission)
        except BaseException:
            watch.close()
            raise
        if answered:
            watch.close()
        for update in submission.updates:
            watch.skip(update)
        return answered, watch

    async def read(self, keys: Sequence[str]) -> list[Record]:
        """The jobs' records.

        Raises UnknownKeys, naming each key that is unknown or expired, and TooLarge.
        """
        sound = _sound(keys)
        records: dict[str, Record | None] = {}
        size = 0
        for start in range(0, len(sound), READ_KEYS):
            some = sound[start : start + READ_KEYS]
            found = await self._store.read(some)
            records.update((key, _public(record)) for key, record in zip(some, found, strict=True))
            size += sum(len(record.update.line) for record in found if record)
            self._check_size(size)
        _check_keys(key for key in keys if records.get(key) is None)
        answer = [record for key in keys if (record := records[key])]
        self._check_size(sum(len(record.update.line) for record in answer))
        return answer

    async def read_whole(self, keys: Sequence[str]) -> tuple[list[Record], list[Job]]:
        """The jobs' records, and what was asked for; raises as `read` does."""
        records = await self.read(keys)
        jobs: dict[str, Job] = {}
        times, size = Counter(keys), 0
        distinct = list(times)
        for start in range(0, len(distinct), READ_JOBS):
            some = distinct[start : start + READ_JOBS]
            for key, blob in zip(some, await self._store.read_jobs(some), strict=True):
                if blob is None:
                    raise UnknownKeys([key])
                size += len(blob) * times[key]
                self._check_size(size)
                jobs[key] = decode_job(blob)
        return records, [jobs[key] for key in keys]

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_answer_bytes
        if size > limit:
            words = f"the statuses are larger than {limit} bytes together (max_answer_bytes)"
            raise TooLarge(words + ": ask for fewer at once")

    async def watch(self, keys: Sequence[str]) -> tuple[Sequence[Update], Watch]:
        """The jobs' statuses now, and a watch that passes on what is newer; the caller closes it.

        Raises UnknownKeys, before anything is subscribed to for keys that somebody made up.
        """
        records = await self.read(keys)
        watch = await self.watches.open(
            record.update.key for record in records if not record.update.is_final
        )
        try:
            if watch.keys:
                records = await self.read(keys)
        except BaseException:
            watch.close()
            raise
        updates = [record.update for record in records]
        for update in updates:
            watch.skip(update)
        return updates, watch

    async def wait(self, keys: Sequence[str]) -> list[Update]:
        """The jobs' final statuses, once all have ended; raises as `read` does."""
        updates, watch = await self.watch(keys)
        with watch:
            return await self._ends(updates, watch)

    async def _ends(self, updates: Sequence[Update], watch: Watch) -> list[Update]:
        """Raises TooLarge once it is clear, so that nobody gathers what cannot be told."""
        ended_bytes = sum(len(update.line) for update in updates if update.is_final)
        ends = await watch.ends(self._settings.max_answer_bytes - ended_bytes)
        answer = [ends.get(update.key, update) for update in updates]
        self._check_size(sum(len(update.line) for update in answer))
        return answer

    async def cancel(self, keys: Sequence[str], account: Account) -> list[Update]:
        """End the account's jobs, those that run too; ended ones stay as they are.

        Raises UnknownKeys for keys that do not exist or belong to another account.
        """
        records = await self.read(keys)
        _check_keys(record.update.key for record in records if record.job.account != account.name)
        await self._store.cancel(list(dict.fromkeys(keys)))
        return [record.update for record in await self.read(keys)]

    def _hook(self, definition: Definition, job: Job) -> tuple[str, Hook] | None:
        urls = definition.url_callback, definition.url_errback
        hook = hook_of(self._settings, self._store.keys, job, *urls)
        return (job.key, hook) if hook else None

    def _job(
        self, definition: Definition, account: Account, base_url: str, shard: int, queued: str
    ) -> Job:
        task = definition.task
        volatile_seconds = self._settings.volatile_seconds
        retention_seconds = self._settings.retention_seconds
        if definition.store.type == "volatile":
            retention_seconds = min(retention_seconds, volatile_seconds)
        return Job(
            key=self._store.keys.new_job_key(self.watches.channel, shard),
            task=task.name,
            kind=task.kind,
            account=account.name,
            params=msgspec.Raw(encode(definition.params)),
            metas=msgspec.Raw(encode(definition.metas)),
            queued=queued,
            base_url=base_url,
            timeout_seconds=task.timeout_seconds,
            attempts=self._settings.attempts,
            retention_seconds=retention_seconds,
            store=definition.store.type,
            store_url=definition.store.url or "",
        )


def _sound(keys: Iterable[str]) -> list[str]:
    """Those that have the form of a key: others name no place where the store could look."""
    return [key for key in dict.fromkeys(keys) if is_key(key)]


def _check_keys(unknown: Iterable[str]) -> None:
    if keys := list(dict.fromkeys(unknown)):
        raise UnknownKeys(keys)


def _public(record: Record | None) -> Record | None:
    """Deliveries of web hooks are jobs that clients do not see as such."""
    return None if record and record.job.kind == "hook" else record


def _first_update(definition: Definition, job: Job) -> Update:
    """Queued; or error at once, where the parameters are wrong."""
    if definition.problems:
        events = Events(queued=job.queued, completed=job.queued)
        error = WrongParameters(parameters=definition.problems)
        status = Status(status="error", key=job.key, error=error, events=events)
        return Update(job.key, 1, status.status, encode(status))
    return _queued(job)


def _queued(job: Ticket) -> Update:
    status = Status(status="queued", key=job.key, events=Events(queued=job.queued))
    return Update(job.key, 1, status.status, encode(status))
