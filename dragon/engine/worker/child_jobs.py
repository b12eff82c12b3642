"""Runs the children of a job: other jobs, which it waits for and finds again if it runs again."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog

from dragon.engine.network.webhooks import hook_of
from dragon.engine.watching import Watches
from dragon.engine.worker.persist import persist
from dragon.errors import LeaseLost, OverLimits, TaskFailed, TaskInterrupted
from dragon.params import check_params, read_params
from dragon.registry import Registry
from dragon.schemas import Claim, Events, Job, Record, Status, Update, decode_status, encode
from dragon.settings import Account, Settings
from dragon.store.store import Store
from dragon.store.submission import Submission
from dragon.task import ChildResult, KeptFile, Params, TaskType

log = structlog.get_logger()

MAX_DEPTH = 2
"""Of a job below the one that a client created."""


class ChildJobs:
    """Those of one run.

    `free_slots(1)` is called when the run begins to wait for a child of its own class, which needs
    a slot like its own, and `free_slots(-1)` when it does so no longer.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        registry: Registry,
        store: Store,
        watches: Watches,
        claim: Claim,
        free_slots: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._store = store
        self._watches = watches
        self._claim = claim
        self._free_slots = free_slots
        self._lent = 0
        self._places: Counter[bytes] = Counter()

    async def run(
        self, name: str, values: Mapping[str, Any], on_progress: Callable[[Any], None] | None
    ) -> ChildResult:
        """Queue a child and wait for its end; raises TaskFailed with its words if it failed."""
        self._check_parent()
        task, params = self._read(name, values)
        job = self._job(task, params)
        with self._slot_lent(job):
            record = await self._run(job, params, on_progress)
        status = decode_status(record.update.line)
        if status.status == "error":
            raise TaskFailed(str(status.error))
        files = {
            file.name: KeptFile(
                url=f"dragon:{job.key}/{file.filename}",
                filename=file.filename,
                content_type=file.content_type,
                size=file.size,
            )
            for file in record.files
        }
        return ChildResult(key=job.key, value=status.result, files=files)

    def _check_parent(self) -> None:
        job = self._claim.job
        if job.kind != "flow":
            raise RuntimeError(f"{job.task} is of class {job.kind}: only those of flow run others")
        if job.depth >= MAX_DEPTH:
            raise TaskFailed(f"tasks run tasks {MAX_DEPTH} levels deep at most")

    def _read(self, name: str, values: Mapping[str, Any]) -> tuple[TaskType, Params]:
        task = self._registry.get(name)
        if task is None:
            raise TaskFailed(f"the task {name!r} is unknown")
        params, problems = read_params(task, values)
        if params is not None:
            problems = check_params(task, params, self._registry)
        if params is None or problems:
            words = "; ".join(f"{place}: {', '.join(found)}" for place, found in problems.items())
            raise TaskFailed(f"{name}: {words}")
        return task, params

    def _job(self, task: TaskType, params: Params) -> Job:
        """Its place is what it is to do, and how many the same there were before.

        So a parent that runs again may ask for its children in another order.
        """
        parent = self._claim.job
        content = msgspec.json.encode([task.name, params], order="sorted")
        self._places[content] += 1
        return Job(
            key=self._store.keys.child_key(parent.key, b"%d" % self._places[content] + content),
            task=task.name,
            kind=task.kind,
            account=parent.account,
            params=msgspec.Raw(encode(params)),
            queued=self._store.clock.iso(),
            base_url=parent.base_url,
            timeout_seconds=task.timeout_seconds,
            attempts=self._settings.attempts,
            retention_seconds=parent.retention_seconds,
            # What it makes is for the parent, which alone has the file that its client waits for.
            store="persistent" if parent.store == "s3_signed" else parent.store,
            depth=parent.depth + 1,
        )

    @contextmanager
    def _slot_lent(self, child: Job) -> Iterator[None]:
        """Or such parents could take all slots, and their children never get one."""
        if child.kind != self._claim.job.kind:
            yield
            return
        self._lent += 1
        if self._lent == 1:
            self._free_slots(1)
        try:
            yield
        finally:
            self._lent -= 1
            if not self._lent:
                self._free_slots(-1)

    async def _run(
        self, job: Job, params: Params, on_progress: Callable[[Any], None] | None
    ) -> Record:
        with await persist(job.key, lambda: self._watches.open([job.key])) as watch:
            await self._submit(job, params)
            # One that was there already may have come to anything.
            record = await self._record(job.key)
            watch.skip(record.update)
            _tell(on_progress, record.update)
            while changes := await watch.changes():
                _tell(on_progress, changes[-1])
        return record if record.update.is_final else await self._record(job.key)

    async def _submit(self, job: Job, params: Params) -> None:
        account = self._account(job.account)
        status = Status(status="queued", key=job.key, events=Events(queued=job.queued))
        urls = params.url_callback, params.url_errback
        hook = hook_of(self._settings, self._store.keys, job, *urls)
        submission = Submission(
            account=job.account,
            # The request that made the parent was counted; its parts are none of their own.
            limits=msgspec.structs.replace(account.limits, per_minute=None),
            weight=account.weight,
            jobs=(job,),
            updates=(Update(job.key, 1, status.status, encode(status)),),
            shard=self._store.keys.shard_of(job.key),
            hooks={job.key: hook} if hook else {},
            parent=self._claim,
        )
        try:
            await persist(job.key, lambda: self._store.submit(submission))
        except OverLimits as error:
            raise TaskFailed(f"{job.task} could not be queued: {error.message}") from None
        except LeaseLost as error:
            raise TaskInterrupted(error.message) from None
        log.info("child_queued", key=job.key, task=job.task, parent=self._claim.job.key)

    def _account(self, name: str) -> Account:
        """Without limits where this worker's settings know no account of that name."""
        known = (account for account in self._settings.accounts if account.name == name)
        return next(known, Account(name=name))

    async def _record(self, key: str) -> Record:
        [record] = await persist(key, lambda: self._store.read([key]))
        if record is None:
            raise TaskInterrupted(f"what the task had made so far has expired ({key})")
        return record


def _tell(on_progress: Callable[[Any], None] | None, update: Update) -> None:
    if on_progress and not update.is_final:
        progress = decode_status(update.line).progress
        if progress is not msgspec.UNSET:
            on_progress(progress)
