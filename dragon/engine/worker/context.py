"""What a running task may use: the engine's side of `dragon.task.Context`."""

import asyncio
import mimetypes
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dragon.background import to_its_end
from dragon.engine.worker.sources import Sources
from dragon.task import ChildResult, File, MediaLimits, Source

T = TypeVar("T")

_EXTENSIONS = {
    "audio/ogg": ".ogg",
    "audio/ogg; codecs=opus": ".opus",
    "audio/wav": ".wav",
    "image/avif": ".avif",
    "image/webp": ".webp",
    "image/jpeg": ".jpg",
    "application/vnd.apple.mpegurl": ".m3u8",
    "video/mp2t": ".ts",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
}
_NAME = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")


class Decoders(Protocol):
    """Runs functions in confined child processes."""

    async def call(
        self, function: Callable[..., T], *arguments: Any, timeout_seconds: float
    ) -> T: ...


class Programs(Protocol):
    """Runs confined programs."""

    async def run(
        self,
        arguments: Sequence[str | Source | File],
        directory: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None: ...


class Jobs(Protocol):
    """Runs other tasks."""

    async def run(
        self, name: str, values: Mapping[str, Any], on_progress: Callable[[Any], None] | None
    ) -> ChildResult: ...


class Telling(Protocol):
    """Tells whoever waits how a run stands."""

    def progress(self, value: Any) -> None: ...

    async def partial(self, result: Any) -> None: ...


class RunContext:
    """One run's directory, sources, outputs and progress. `phases` are seconds spent in each."""

    def __init__(
        self,
        *,
        work_directory: Path,
        name: str,
        timeout_seconds: float,
        limits: MediaLimits,
        sources: Sources,
        decoders: Decoders,
        programs: Programs,
        telling: Telling,
        jobs: Jobs,
    ) -> None:
        self.limits = limits
        self.phases: dict[str, float] = {}
        self._directory: Path | None = None
        """The run's own, once something lies in it."""
        self._work_directory = work_directory
        self._name = name
        self.deadline = asyncio.timeout(timeout_seconds)
        self._left_seconds = timeout_seconds
        self._calls = 0
        self._sources = sources
        self._decoders = decoders
        self._programs = programs
        self._telling = telling
        self._jobs = jobs
        self._files = 0

    async def fetch(self, url: str, *, is_media: bool = False) -> Source:
        self._files += 1
        with self._phase("fetch"):
            path = self._path(f"source{self._files}")
            return await self._sources.fetch(url, path, is_media=is_media)

    def output(self, name: str, content_type: str) -> File:
        if not _NAME.match(name):
            raise ValueError(f"{name!r} is no name of an output: letters, digits, _ and - only")
        extension = _EXTENSIONS.get(content_type) or mimetypes.guess_extension(content_type) or ""
        filename = name + extension
        path = self._path(f"output-{filename}")
        return File(name=name, filename=filename, content_type=content_type, path=path)

    def progress(self, value: Any) -> None:
        self._telling.progress(value)

    async def partial(self, result: Any) -> None:
        await self._telling.partial(result)

    async def run(
        self, task_name: str, /, on_progress: Callable[[Any], None] | None = None, **params: Any
    ) -> ChildResult:
        # A child has its own time, and may have to wait for a free slot.
        with self._phase("children"), self._deadline_held():
            return await self._jobs.run(task_name, params, on_progress)

    async def isolated(self, function: Callable[..., T], *arguments: Any) -> T:
        with self._phase("isolated"), self._deadline_held() as left_seconds:
            return await self._decoders.call(function, *arguments, timeout_seconds=left_seconds)

    async def run_program(
        self,
        arguments: Sequence[str | Source | File],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        # The run's clock goes on: when it runs out, this is cancelled, and the program killed.
        with self._phase("program"):
            await self._programs.run(arguments, self._own_directory(), on_line)

    async def close(self) -> None:
        """Delete the directory with all that lies in it."""
        if self._directory:
            await to_its_end(asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True))

    def _path(self, name: str) -> Path:
        return self._own_directory() / name

    def _own_directory(self) -> Path:
        if not self._directory:
            directory = self._work_directory / self._name
            directory.mkdir(mode=0o700)
            self._directory = directory
        return self._directory

    @contextmanager
    def _deadline_held(self) -> Iterator[float]:
        """The run's clock stands still: a child has its own, which starts when it is free."""
        if self.deadline.expired():
            # All parts of the run are about to be cancelled; this one was faster.
            raise asyncio.CancelledError
        now = asyncio.get_running_loop().time
        when = self.deadline.when()
        if when is not None:
            self._left_seconds = when - now()
            self.deadline.reschedule(None)
        self._calls += 1
        try:
            yield self._left_seconds
        finally:
            self._calls -= 1
            if not self._calls:
                self.deadline.reschedule(now() + self._left_seconds)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to `phases`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - began
