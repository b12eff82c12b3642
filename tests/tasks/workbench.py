"""Runs a task on files in memory, in this process: what needs no server or decoder child."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pyvips import Image

from dragon.task import File, MediaLimits, Source, TaskFailed
from tests.support.pictures import LIMITS, write
from tests.support.studio import NoDecoders, Studio


class InMemory:
    """Downloads of these files, by URL; `fetched` are those that were asked for."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.fetched: list[str] = []
        self._files = files

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source:
        self.fetched.append(url)
        return Source(url=url, path=write(path, self._files[url]), size=len(self._files[url]))


class Made:
    """What a task made of files: its result, the bytes of its files, the picture in `output`."""

    def __init__(self, result: Any, told: list[dict[str, Any]], fetched: list[str]) -> None:
        self.told = told
        self.fetched = fetched
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
    task: Callable[[Any, Any], Awaitable[Any]],
    files: Mapping[str, bytes],
    limits: MediaLimits = LIMITS,
    **params: Any,
) -> Made:
    """Run the task with these parameters, as they come in JSON."""
    downloads = InMemory(files)
    with tempfile.TemporaryDirectory() as directory:
        studio = Studio(Path(directory), NoDecoders(), downloads)
        result = asyncio.run(studio.run(task, params, limits))
        return Made(result, studio.told, downloads.fetched)


def refusal(task: Callable[[Any, Any], Awaitable[Any]], *arguments: Any, **params: Any) -> str:
    """The words with which the task fails."""
    try:
        make(task, *arguments, **params)
    except TaskFailed as refused:
        return refused.message
    raise AssertionError("it was made")
