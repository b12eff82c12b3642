"""Runs one task by itself, in a real context, with sources from wherever a test has them."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dragon.engine.isolation.pool import Decoders, DecoderSettings
from dragon.engine.worker.context import RunContext
from dragon.engine.worker.sources import Downloads, Sources
from dragon.task import File, MediaLimits, Source
from tests.support.decoders import MIB
from tests.support.programs import programs

R = TypeVar("R")

HOST = "http://folder"


class Folder:
    """Downloads that take the path of a URL as the path of a file."""

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source:
        path.write_bytes(Path(url.removeprefix(HOST)).read_bytes())
        return Source(url=url, path=path, size=path.stat().st_size)


class NoDecoders:
    """Calls functions in this process, where a test needs no child."""

    async def call(self, function: Callable[..., R], *arguments: Any, timeout_seconds: float) -> R:
        with ExitStack() as opened:
            return function(*(_opened(argument, opened) for argument in arguments))


class Studio:
    """Runs tasks one after the other; `told` is the progress of the last."""

    def __init__(
        self, directory: Path, decoders: Decoders | NoDecoders, downloads: Downloads
    ) -> None:
        self.told: list[dict[str, Any]] = []
        self.programs = programs()
        self._directory = directory
        self._decoders = decoders
        self._downloads = downloads
        self._runs = 0

    async def run(
        self,
        task: Callable[[Any, Any], Awaitable[R]],
        params: dict[str, Any],
        limits: MediaLimits | None = None,
    ) -> R:
        """What the task returns; its files are there until the next test."""
        self._runs += 1
        self.told = []
        nobody: Any = None
        context = RunContext(
            work_directory=self._directory,
            name=f"run{self._runs}",
            timeout_seconds=60,
            limits=limits or MediaLimits(),
            sources=Sources(
                "acme", settings=nobody, store=nobody, outputs=nobody, downloads=self._downloads
            ),
            decoders=self._decoders,
            programs=self.programs,
            telling=self,
            jobs=nobody,
        )
        type_ = task.__dragon_task__.params  # type: ignore[attr-defined]
        async with context.deadline:
            return await task(msgspec.convert(params, type_), context)

    def progress(self, value: Any) -> None:
        self.told.append(msgspec.to_builtins(value))

    async def partial(self, result: Any) -> None:
        self.told.append(result)


@asynccontextmanager
async def open_studio(directory: Path) -> AsyncIterator[Studio]:
    """With a real decoder, and files of this machine as sources."""
    settings = DecoderSettings(
        count=1, memory_bytes=512 * MIB, cpu_seconds=20, max_jobs=1000, warm=("tasks.toolkit",)
    )
    async with Decoders(settings) as decoders:
        yield Studio(directory, decoders, Folder())


def run_context(directory: Path, timeout_seconds: float = 60) -> RunContext:
    """Of a run for which nobody does anything."""
    nobody: Any = None
    return RunContext(
        work_directory=directory,
        name="run",
        timeout_seconds=timeout_seconds,
        limits=MediaLimits(),
        sources=nobody,
        decoders=nobody,
        programs=nobody,
        telling=nobody,
        jobs=nobody,
    )


def url(path: Path) -> str:
    return f"{HOST}{path}"


def _opened(argument: Any, opened: ExitStack) -> Any:
    if not isinstance(argument, Source | File):
        return argument
    flags = os.O_RDONLY if isinstance(argument, Source) else os.O_RDWR | os.O_CREAT
    descriptor = os.open(argument.path, flags)
    opened.callback(os.close, descriptor)
    return descriptor
