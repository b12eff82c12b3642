"""Finds a run's sources: files of the account's other jobs, of the stores, and others by HTTP."""

import asyncio
import re
from pathlib import Path
from typing import Protocol

from dragon.engine.files.outputs import Outputs
from dragon.engine.network.fetching import Bounds, new_file
from dragon.errors import (
    StorageRefused,
    StorageUnavailable,
    TaskError,
    TaskFailed,
    TaskInterrupted,
    Unavailable,
)
from dragon.schemas import SIGNED, OutputFile, Record, find_file
from dragon.settings import Settings
from dragon.storage.bucket import Bucket
from dragon.store.store import Store
from dragon.task import Source

_SCHEME = "dragon:"
_STORE_SCHEMES = ("s3://", "gs://", "az://")
_OUTPUT = re.compile(r"(?:\A|/)([^/]+)/\d{4}-\d\d-\d\d/[A-Z2-7]{26}(?=/|\Z)")
_PIECE_BYTES = 8 * 1024 * 1024


class Downloads(Protocol):
    """Fetches sources over HTTP."""

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source: ...


class Sources:
    """What the runs of one account may read."""

    def __init__(
        self,
        account: str,
        *,
        settings: Settings,
        store: Store,
        outputs: Outputs,
        downloads: Downloads,
    ) -> None:
        self._account = account
        self._settings = settings
        self._store = store
        self._outputs = outputs
        self._downloads = downloads

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source:
        """Download `url` to `path`; the files of other jobs on the local disk stay where they are.

        Raises TaskFailed or TaskInterrupted.
        """
        if not url.startswith((_SCHEME, *_STORE_SCHEMES)):
            return await self._downloads.fetch(url, path, is_media=is_media)
        bounds = Bounds.of(self._settings, is_media=is_media)
        try:
            if url.startswith(_SCHEME):
                return await self._read_output(url, path, bounds)
            bucket, place = self._find_stored(url)
            return await self._download(bucket, place, url, path, bounds)
        except TaskError as error:
            raise type(error)(f"File '{url}' could not be read: {error.message}") from None

    async def _read_output(self, url: str, path: Path, bounds: Bounds) -> Source:
        key, _, name = url.removeprefix(_SCHEME).partition("/")
        kept = await self._find(key, name)
        if not kept.store:
            if not self._outputs.path(kept).is_file():
                # Files are deleted first, and then the record.
                raise _unknown()
            return Source(url=url, path=self._outputs.path(kept), size=kept.size)
        if kept.store == SIGNED:
            raise TaskFailed("it was put at the URL of its task_store, and only its owner has it")
        bucket = self._outputs.stores.get(kept.store)
        if bucket is None:
            raise _unknown()
        return await self._download(bucket, kept.path, url, path, bounds)

    def _find_stored(self, url: str) -> tuple[Bucket, str]:
        found = self._outputs.stores.find_source(url)
        if found is None:
            raise TaskFailed("it lies in no store that tasks may read (setting stores)")
        # What the tasks of other accounts made is theirs, though it lies in the same store.
        if any(owner != self._account for owner in _OUTPUT.findall(found[1])):
            raise _no_file()
        return found

    async def _download(
        self, bucket: Bucket, place: str, url: str, path: Path, bounds: Bounds
    ) -> Source:
        try:
            async with asyncio.timeout(bounds.timeout_seconds):
                stored = await bucket.about(place)
                bounds.check_size(stored.size)
                with new_file(path) as file:
                    async for piece in bucket.read(place, stored, 0, stored.size, _PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
        except FileNotFoundError:
            raise _no_file() from None
        except TimeoutError:
            # The store is at fault, not its file.
            raise TaskInterrupted(bounds.too_slow) from None
        except StorageRefused as error:
            raise TaskFailed(error.message) from None
        except StorageUnavailable as error:
            raise TaskInterrupted(error.message) from None
        return Source(url=url, path=path, size=stored.size)

    async def _find(self, key: str, name: str) -> OutputFile:
        record = await self._read(key)
        if record.update.state == "error":
            raise TaskFailed("its task failed")
        if not record.update.is_final:
            raise TaskFailed("its task has not ended")
        if file := find_file(record.files, name):
            return file
        names = ", ".join(f"'{file.name}'" for file in record.files)
        words = f"choose one of: {names}" if names else "it has none"
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


def _no_file() -> TaskFailed:
    return TaskFailed("there is no such file")
