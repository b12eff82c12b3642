"""Runs a task on local files, in this process: what needs no server, worker or decoder child."""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import msgspec
from pyvips import Image

from dragon.task import Context, File, MediaLimits, Source, TaskFailed
from tests.pictures import LIMITS, write

T = TypeVar("T")


class Workbench:
    """A task's Context: `files` are what its URLs lead to, `told` is the progress."""

    def __init__(self, directory: Path, files: Mapping[str, bytes], limits: MediaLimits) -> None:
        self.limits = limits
        self.told: list[Any] = []
        self.fetched: list[str] = []
        self._directory = directory
        self._files = files

    async def fetch(self, url: str, *, is_media: bool = False) -> Source:
        self.fetched.append(url)
        path = write(self._directory / f"source{len(self.fetched)}", self._files[url])
        return Source(url=url, path=path, size=path.stat().st_size)

    def output(self, name: str, content_type: str) -> File:
        path = self._directory / f"output-{name}"
        return File(name=name, filename=name, content_type=content_type, path=path)

    def progress(self, value: Any) -> None:
        self.told.append(msgspec.to_builtins(value))

    async def isolated(self, function: Callable[..., T], *arguments: Any) -> T:
        with ExitStack() as opened:
            return function(*(_opened(argument, opened) for argument in arguments))


class Made:
    """What a task made of files: its result, the bytes of its files, the picture in `output`."""

    def __init__(self, workbench: Workbench, result: Any) -> None:
        self.told = workbench.told
        self.fetched = workbench.fetched
        self.result = result
        values = msgspec.structs.asdict(result)
        files = {name: file for name, file in values.items() if isinstance(file, File)}
        self.files = {name: file.path.read_bytes() for name, file in files.items()}
        self.data = self.files["output"]

    @property
    def image(self) -> Image:
        moves = self.data.startswith(b"GIF") or self.data[8:12] == b"WEBP"
        return Image.new_from_buffer(self.data, "", **({"n": -1} if moves else {}))

    def frame(self, index: int) -> Image:
        image = self.image
        height = image.get_page_height()
        return image.crop(0, index * height, image.width, height)


def make(
    task: Callable[[Any, Context], Awaitable[Any]],
    files: Mapping[str, bytes],
    limits: MediaLimits = LIMITS,
    **params: Any,
) -> Made:
    """Run the task with these parameters, as they come in JSON."""
    asked = msgspec.convert(params, get_type_hints(task, include_extras=True)["params"])
    with tempfile.TemporaryDirectory() as directory:
        workbench = Workbench(Path(directory), files, limits)

        async def run() -> Any:
            return await task(asked, cast(Context, workbench))

        return Made(workbench, asyncio.run(run()))


def refusal(task: Callable[[Any, Context], Awaitable[Any]], *arguments: Any, **params: Any) -> str:
    """The words with which the task fails."""
    try:
        make(task, *arguments, **params)
    except TaskFailed as refused:
        return refused.message
    raise AssertionError("it was made")


def _opened(argument: Any, opened: ExitStack) -> Any:
    if not isinstance(argument, Source | File):
        return argument
    flags = os.O_RDONLY if isinstance(argument, Source) else os.O_RDWR | os.O_CREAT
    descriptor = os.open(argument.path, flags)
    opened.callback(os.close, descriptor)
    return descriptor
