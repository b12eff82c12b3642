"""One run of a task, as a straight list of steps."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from dragon.engine.worker.child_jobs import ChildJobs
from dragon.engine.worker.context import RunContext
from dragon.engine.worker.persist import persist
from dragon.engine.worker.run import Outcome, Run, Tools
from dragon.engine.worker.sources import Sources
from dragon.errors import TaskFailed, TaskInterrupted
from dragon.schemas import Claim
from dragon.store.offer import Offer
from dragon.task import MediaLimits, Params, TaskType

log = structlog.get_logger()

_DISK_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ESTALE,
    }
)
INTERNAL_ERROR = "the task failed because of an internal error"


class TaskRun(Run):
    """A run whose work is a task, which leaves files and may start other jobs."""

    def __init__(
        self, tools: Tools, claim: Claim, offer: Offer, free_slots: Callable[[int], None]
    ) -> None:
        super().__init__(tools, claim, offer)
        self._context: RunContext | None = None
        self._free_slots = free_slots

    async def run(self) -> Outcome:
        try:
            return await super().run()
        except asyncio.CancelledError:
            if self.is_in_vain and self.telling.has_kept:
                await self.tools.outputs.discard(self.claim)
            raise
        finally:
            if self._context:
                await self._context.close()

    async def attempt(self) -> Outcome:
        try:
            task, params = self._decode()
            result, files = await self.telling.whole(await self._call(task, params))
            return Outcome(state="success", result=result, files=files)
        except TaskFailed as error:
            return Outcome(state="error", error=error.message)
        except TaskInterrupted as error:
            return self._retry_or_fail(error)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                return self._retry_or_fail(TaskInterrupted(_disk_error_words(error)))
            log.exception("run_bug", key=self.claim.job.key, task=self.claim.job.task)
            return Outcome(state="error", error=INTERNAL_ERROR)

    def _decode(self) -> tuple[TaskType, Params]:
        job = self.claim.job
        task = self.tools.registry.get(job.task)
        if task is None:
            raise TaskInterrupted(f"this worker does not know the task {job.task!r}")
        return task, msgspec.json.decode(job.params, type=task.params)

    async def _call(self, task: TaskType, params: Params) -> Any:
        context = self._context = self._make_context()
        self.phases = context.phases
        try:
            async with context.deadline:
                return await task.function(params, context)
        except (TimeoutError, asyncio.CancelledError):
            # Python may take the deadline for a cancellation from outside, once one of several
            # parts that go on side by side has failed.
            if self.is_stopped or not context.deadline.expired():
                raise
            words = f"the task took longer than its {self.claim.job.timeout_seconds:g} seconds"
            raise TaskFailed(words) from None
        finally:
            await self.telling.close()

    def _make_context(self) -> RunContext:
        settings = self.tools.settings
        return RunContext(
            work_directory=self.tools.directory,
            name=f"{self.claim.job.key}.{self.claim.token}",
            timeout_seconds=self.claim.job.timeout_seconds,
            limits=msgspec.convert(settings, MediaLimits, from_attributes=True),
            sources=Sources(
                self.claim.job.account,
                settings=settings,
                store=self.tools.store,
                outputs=self.tools.outputs,
                downloads=self.tools.downloads,
            ),
            decoders=self.tools.decoders,
            programs=self.tools.programs,
            telling=self.telling,
            jobs=ChildJobs(
                settings=settings,
                registry=self.tools.registry,
                store=self.tools.store,
                watches=self.tools.watches,
                claim=self.claim,
                free_slots=self._free_slots,
            ),
        )

    def _retry_or_fail(self, error: TaskInterrupted) -> Outcome:
        attempt = self.claim.attempt
        if attempt >= self.claim.job.attempts:
            return Outcome(state="error", error=f"{error.message} (tried {attempt} times)")
        pause_seconds = self.tools.settings.retry_base_seconds * 2 ** (attempt - 1)
        log.warning(
            "job_interrupted",
            key=self.claim.job.key,
            attempt=attempt,
            error=error.message,
            pause_seconds=pause_seconds,
        )
        return Outcome(state="queued", pause_seconds=pause_seconds)

    async def write(self, outcome: Outcome) -> None:
        """Tell the store; if the lease was lost meanwhile, what was kept is in vain."""
        store, claim = self.tools.store, self.claim
        if outcome.state == "queued":
            line, pause_seconds = self.telling.line("queued"), outcome.pause_seconds
            await persist(
                claim.job.key,
                lambda: store.retry(claim, line, pause_seconds=pause_seconds, is_counted=True),
            )
            return
        line = self.telling.line(outcome.state, result=outcome.result, error=outcome.error)
        is_written = await persist(
            claim.job.key,
            lambda: store.finish(claim, outcome.state, line, outcome.files, self.offer),
        )
        is_in_vain = not is_written and outcome.files and not await self._is_ours(outcome)
        # Of a partial result nothing is left where the whole one never came.
        if is_in_vain or (outcome.state == "error" and self.telling.has_kept):
            await self.tools.outputs.discard(claim)

    async def _is_ours(self, outcome: Outcome) -> bool:
        """Whether an earlier try at writing had landed, though its answer was lost."""
        key = self.claim.job.key
        [record] = await persist(key, lambda: self.tools.store.read([key]))
        if record is None:
            return False
        # The account may have deleted some of them since.
        made = {file.path for file in (*record.files, *record.deleted)}
        return made == {file.path for file in outcome.files}


def _disk_error_words(error: OSError) -> str:
    """What a client may know: the kind of trouble, not where on our disk it was."""
    return f"the worker's disk failed: {error.strerror}"
