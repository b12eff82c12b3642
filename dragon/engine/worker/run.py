"""One run of one job, as a straight list of steps."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from dragon.engine.files.outputs import Outputs
from dragon.engine.network.webhooks import WebHooks
from dragon.engine.watching import Watches
from dragon.engine.worker.child_jobs import ChildJobs
from dragon.engine.worker.context import Decoders, Programs, RunContext
from dragon.engine.worker.persist import persist
from dragon.engine.worker.sources import Downloads, Sources
from dragon.engine.worker.telling import Telling
from dragon.errors import TaskFailed, TaskInterrupted
from dragon.registry import Registry
from dragon.schemas import Claim, OutputFile, State
from dragon.settings import Settings
from dragon.store.offer import Offer
from dragon.store.store import Store
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


class Tools(Struct, frozen=True, kw_only=True):
    """What all runs of a worker share."""

    settings: Settings
    registry: Registry
    store: Store
    outputs: Outputs
    downloads: Downloads
    watches: Watches
    decoders: Decoders
    programs: Programs
    hooks: WebHooks
    directory: Path


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended: with what to tell, or to be run again after a pause."""

    state: State
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET
    files: tuple[OutputFile, ...] = ()
    pause_seconds: float = 0.0


class Run:
    """One attempt at a job. Cancelled, it writes nothing, for the lease is lost or handed back.

    Its slot is free for another while it writes how it ended.
    """

    def __init__(
        self, tools: Tools, claim: Claim, offer: Offer, free_slots: Callable[[int], None]
    ) -> None:
        self.claim = claim
        self.phases: dict[str, float] = {}
        self.is_ending = False
        self.is_in_vain = False
        """Its job has ended without it: nobody will ask for the files that it has kept."""
        self._context: RunContext | None = None
        self._tools = tools
        self._telling = Telling(tools.store, tools.outputs, claim, tools.settings.max_result_bytes)
        self._offer = offer
        self._free_slots = free_slots

    async def run(self) -> Outcome:
        """Do the task and write how it ended, once; returns that."""
        try:
            outcome = await self._attempt()
            self.is_ending = True
            self._offer.free(self.claim)
            await self._write(outcome)
        except asyncio.CancelledError:
            if self.is_in_vain and self._telling.has_kept:
                await self._tools.outputs.discard(self.claim)
            raise
        finally:
            if self._context:
                await self._context.close()
        return outcome

    async def hand_back(self) -> bool:
        """Queue the job again without counting the attempt; False if it is held no longer."""
        line = self._telling.line("queued")
        return await persist(
            self.claim.job.key,
            lambda: self._tools.store.retry(self.claim, line, pause_seconds=0, is_counted=False),
        )

    async def _attempt(self) -> Outcome:
        try:
            task, params = self._decode()
            result, files = await self._telling.keep(await self._call(task, params))
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
        task = self._tools.registry.get(job.task)
        if task is None:
            raise TaskInterrupted(f"this worker does not know the task {job.task!r}")
        return task, msgspec.json.decode(job.params, type=task.params)

    async def _call(self, task: TaskType, params: Params) -> Any:
        context = self._context = self._make_context()
        self.phases = context.phases
        try:
            async with context.deadline:
                return await task.function(params, context)
        except TimeoutError:
            if not context.deadline.expired():
                raise
            words = f"the task took longer than its {self.claim.job.timeout_seconds:g} seconds"
            raise TaskFailed(words) from None
        finally:
            await self._telling.close()

    def _make_context(self) -> RunContext:
        settings = self._tools.settings
        return RunContext(
            work_directory=self._tools.directory,
            name=f"{self.claim.job.key}.{self.claim.token}",
            timeout_seconds=self.claim.job.timeout_seconds,
            limits=msgspec.convert(settings, MediaLimits, from_attributes=True),
            sources=Sources(
                self.claim.job.account,
                settings=settings,
                store=self._tools.store,
                outputs=self._tools.outputs,
                downloads=self._tools.downloads,
            ),
            decoders=self._tools.decoders,
            programs=self._tools.programs,
            telling=self._telling,
            jobs=ChildJobs(
                settings=settings,
                registry=self._tools.registry,
                store=self._tools.store,
                watches=self._tools.watches,
                claim=self.claim,
                free_slots=self._free_slots,
            ),
        )

    def _retry_or_fail(self, error: TaskInterrupted) -> Outcome:
        attempt = self.claim.attempt
        if attempt >= self.claim.job.attempts:
            return Outcome(state="error", error=f"{error.message} (tried {attempt} times)")
        pause_seconds = self._tools.settings.retry_base_seconds * 2 ** (attempt - 1)
        log.warning(
            "job_interrupted",
            key=self.claim.job.key,
            attempt=attempt,
            error=error.message,
            pause_seconds=pause_seconds,
        )
        return Outcome(state="queued", pause_seconds=pause_seconds)

    async def _write(self, outcome: Outcome) -> None:
        """Tell the store; if the lease was lost meanwhile, what was kept is in vain."""
        store, claim = self._tools.store, self.claim
        if outcome.state == "queued":
            line = self._telling.line("queued")
            await persist(
                self.claim.job.key,
                lambda: store.retry(
                    claim, line, pause_seconds=outcome.pause_seconds, is_counted=True
                ),
            )
            return
        line = self._telling.line(outcome.state, result=outcome.result, error=outcome.error)
        is_written = await persist(
            self.claim.job.key,
            lambda: store.finish(claim, outcome.state, line, outcome.files, self._offer),
        )
        is_in_vain = not is_written and outcome.files and not await self._is_ours(outcome)
        # Of a partial result nothing is left where the whole one never came.
        if is_in_vain or (outcome.state == "error" and self._telling.has_kept):
            await self._tools.outputs.discard(claim)

    async def _is_ours(self, outcome: Outcome) -> bool:
        """Whether an earlier try at writing had landed, though its answer was lost."""
        [record] = await persist(
            self.claim.job.key, lambda: self._tools.store.read([self.claim.job.key])
        )
        if record is None:
            return False
        # The account may have deleted some of them since.
        made = {file.path for file in (*record.files, *record.deleted)}
        return made == {file.path for file in outcome.files}


def _disk_error_words(error: OSError) -> str:
    """What a client may know: the kind of trouble, not where on our disk it was."""
    return f"the worker's disk failed: {error.strerror}"
