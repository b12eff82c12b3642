"""Finds a run's sources: files of the account's other jobs where they are kept, others by HTTP."""

from pathlib import Path
from typing import Protocol

from dragon.engine.outputs import Outputs
from dragon.errors import TaskError, TaskFailed, TaskInterrupted, Unavailable
from dragon.schemas import OutputFile, Record, find_file
from dragon.store.store import Store
from dragon.task import Source

_SCHEME = "dragon:"


class Downloads(Protocol):
    """Fetches sources over HTTP."""

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source: ...


class Sources:
    """What the runs of one account may read."""

    def __init__(self, account: str, store: Store, outputs: Outputs, downloads: Downloads) -> None:
        self._account = account
        self._store = store
        self._outputs = outputs
        self._downloads = downloads

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source:
        """Download `url` to `path`; the files of other jobs stay where they are.

        Raises TaskFailed or TaskInterrupted.
        """
        if not url.startswith(_SCHEME):
            return await self._downloads.fetch(url, path, is_media=is_media)
        key, _, name = url.removeprefix(_SCHEME).partition("/")
        try:
            kept = await self._find(key, name)
        except TaskError as error:
            raise type(error)(f"File '{url}' could not be read: {error.message}") from None
        return Source(url=url, path=self._outputs.path(kept), size=kept.size)

    async def _find(self, key: str, name: str) -> OutputFile:
        record = await self._read(key)
        if record.update.state == "error":
            raise TaskFailed("its task failed")
        if not record.update.is_final:
            raise TaskFailed("its task has not ended")
        if file := find_file(record.files, name):
            if self._outputs.path(file).is_file():
                return file
            # Files are deleted first, and then the record.
            raise _unknown()
        names = ", ".join(f"'{file.name}'" for file in record.files)
        words = f"choose one of: {names}" if names else "it made none"
        raise TaskFailed(f"its task has no such file, {words}")

    async def _read(self, key: str) -> Record:
        """Of the account's own jobs: whether others exist is nobody's business."""
        try:
            [record] = await self._store.read([key])
        except Unavailable as error:
            raise TaskInterrupted(error.message) from None
        if record is None or record.job.account != self._account:
            raise _unknown()
        return record


def _unknown() -> TaskFailed:
    return TaskFailed("there is no such task, or it has expired")
