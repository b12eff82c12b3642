"""Tells whoever waits how a run stands: its progress, and what it has made so far."""

import asyncio
from typing import Any

import msgspec
import structlog

from dragon.engine.files.outputs import Outputs, split_result
from dragon.engine.worker.persist import persist
from dragon.errors import TaskFailed, Unavailable
from dragon.schemas import Claim, Events, OutputFile, State, Status, encode
from dragon.settings import Settings
from dragon.store.store import Store

log = structlog.get_logger()

PROGRESS_SECONDS = 0.1


class Telling:
    """What one run says of itself."""

    def __init__(self, store: Store, outputs: Outputs, claim: Claim, settings: Settings) -> None:
        self._store = store
        self._outputs = outputs
        self._claim = claim
        self._settings = settings
        self._progress: Any = msgspec.UNSET
        self._result: Any = msgspec.UNSET
        self.has_kept = False
        self._has_untold = False
        self._has_news = False
        self._sender: asyncio.Task[None] | None = None
        self._partials = asyncio.Lock()

    def progress(self, value: Any) -> None:
        """Ten times a second at most; the newest wins."""
        # Encoded here, so that what is no JSON is an error of the task, at this line.
        self._progress = msgspec.Raw(encode(value))
        self._has_news = True
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_newest())

    async def partial(self, result: Any) -> None:
        """Keep the files of a result that is not yet whole, and tell it from now on."""
        # Two at a time may hold the same file, which can be moved once.
        async with self._partials:
            self._has_untold = True
            self._result, files = await self._keep(result)
            await self._tell(files)
            self._has_untold = False

    async def whole(self, result: Any) -> tuple[msgspec.Raw, tuple[OutputFile, ...]]:
        """Move a result's files to where they are served from; it as clients see it, and they.

        Raises TaskFailed for one that has more files than it may, or that is too large to be told
        again and again.
        """
        kept = await self._keep(result)
        if self._has_untold:
            # Files of a partial result that was refused may lie there, too: they are looked for
            # when a job is forgotten of which something was told while it ran.
            await self._tell()
        return kept

    async def _tell(self, files: tuple[OutputFile, ...] = ()) -> None:
        line, key = self._executing(), self._claim.job.key
        await persist(key, lambda: self._store.progress(self._claim, line, files))

    async def _keep(self, result: Any) -> tuple[msgspec.Raw, tuple[OutputFile, ...]]:
        job = self._claim.job
        values, files = split_result(result)
        max_files, max_bytes = self._settings.max_result_files, self._settings.max_result_bytes
        if len(files) > max_files:
            raise _too_much(f"has {len(files)} files", max_files, "max_result_files")
        self.has_kept = self.has_kept or bool(files)
        kept = await self._outputs.keep(self._claim, files) if files else ()
        joined = self._outputs.join(values, kept, job.base_url, job.key)
        # Encoded here, where what no JSON can hold is still a bug of the task.
        encoded = encode(joined)
        if len(encoded) > max_bytes:
            raise _too_much(f"takes {len(encoded)} bytes", max_bytes, "max_result_bytes")
        return msgspec.Raw(encoded), kept

    def line(self, state: State, **fields: Any) -> bytes:
        """A status of the job."""
        job, started = self._claim.job, self._claim.started
        is_final = state in ("success", "error")
        events = Events(
            queued=job.queued,
            started=msgspec.UNSET if state == "queued" else started,
            completed=max(self._store.clock.iso(), started) if is_final else msgspec.UNSET,
        )
        return encode(Status(status=state, key=job.key, events=events, **fields))

    async def close(self) -> None:
        """Say no more. Raises what kept the progress from being sent, if that was a bug."""
        if self._sender:
            self._sender.cancel()
            await asyncio.wait([self._sender])
            if not self._sender.cancelled() and (error := self._sender.exception()):
                raise error

    def _executing(self) -> bytes:
        return self.line("executing", progress=self._progress, result=self._result)

    async def _send_newest(self) -> None:
        while self._has_news:
            self._has_news = False
            try:
                await self._store.progress(self._claim, self._executing())
            except Unavailable:
                log.debug("progress_dropped", key=self._claim.job.key)
            await asyncio.sleep(PROGRESS_SECONDS)


def _too_much(words: str, limit: int, setting: str) -> TaskFailed:
    return TaskFailed(f"the result {words}, more than the limit of {limit} ({setting})")
