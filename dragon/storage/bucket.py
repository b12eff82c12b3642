"""One store of the settings as a place for files: S3 and what is compatible, Google, Azure."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from msgspec import Struct

from dragon.settings import StoreSettings
from dragon.storage.clients import connect
from dragon.storage.failures import has_no_parts, is_local, is_missing, translate
from dragon.storage.parts import PART_BYTES, put_parts

T = TypeVar("T")

MAX_UPLOADS = 8
"""At once: each has two parts of a file in memory."""
MAX_SMALL_UPLOADS = 64
SMALL_BYTES = 512 * 1024
_DELETED_AT_ONCE = 1_000
_DELETED_ALONE = 20


class Stored(Struct, frozen=True, kw_only=True):
    """What a store says of a file; `etag` is as it goes over HTTP, and empty where it has none."""

    size: int
    etag: str
    modified: float


class Bucket:
    """Files appear whole or not at all: a store shows no upload before its end.

    Raises InvalidSettings where the library cannot use them. Methods raise StorageUnavailable,
    after many tries, or StorageRefused, at once.
    """

    def __init__(self, name: str, settings: StoreSettings) -> None:
        self.name = name
        self.settings = settings
        self._store = connect(name, settings)
        self._uploads = asyncio.Semaphore(MAX_UPLOADS)
        self._small_uploads = asyncio.Semaphore(MAX_SMALL_UPLOADS)

    async def keep(self, file: Path, path: str, content_type: str) -> int:
        """Move a finished file to `path`; its size."""
        try:
            size = (await asyncio.to_thread(file.stat)).st_size
        except FileNotFoundError:
            # One of a partial result may come again in the whole one, and lie there already.
            return (await self.about(path)).size
        async with self._small_uploads if size <= SMALL_BYTES else self._uploads:
            # Each part may take as long as a request of its own.
            more_seconds = self.settings.timeout_seconds * (size / PART_BYTES)
            put = self._put(file, size, path, content_type)
            await self._ask("put", put, more_seconds=more_seconds)
        await asyncio.to_thread(file.unlink)
        return size

    async def delete(self, paths: Iterable[str]) -> None:
        """Delete files; missing ones are fine."""
        await self._delete(list(paths))

    async def delete_below(self, folder: str) -> None:
        """Delete all files whose paths begin with `folder/`; none is fine."""
        await self._delete(await self._ask("list", self._list(folder)))

    async def about(self, path: str) -> Stored:
        """Raises FileNotFoundError, too."""
        found = await self._ask("head", self._store.get_async(path, options={"head": True}), path)
        return Stored(
            size=found.meta["size"],
            etag=found.meta["e_tag"] or "",
            modified=found.meta["last_modified"].timestamp(),
        )

    async def read(
        self, path: str, stored: Stored, start: int, end: int, piece_bytes: int
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`; a request for each piece, tried again by itself.

        Raises FileNotFoundError, too, also if another file lies there by now.
        """
        for first in range(start, end, piece_bytes):
            options: Any = {"range": (first, min(first + piece_bytes, end))}
            if stored.etag:
                options["if_match"] = stored.etag
            yield await self._ask("get", self._get(path, options), path)

    async def signed_url(self, path: str, seconds: int, *, is_head: bool = False) -> str:
        """Where anybody may read the file for so long; or with `is_head` ask for its head alone."""
        import obstore

        # To Azure it is all one to read, and what is signed for HEAD lets nobody do anything.
        is_one = self.settings.url.startswith("az:")
        method: Any = "HEAD" if is_head and not is_one else "GET"
        signing = obstore.sign_async(self._store, method, path, timedelta(seconds=seconds))
        return await self._ask("sign", signing)

    def public_url(self, path: str) -> str:
        """Where anybody may read the file, in a store that has such an address."""
        return f"{self.settings.public_url.rstrip('/')}/{quote(path)}"

    async def _put(self, file: Path, size: int, path: str, content_type: str) -> None:
        attributes: Any = {"Content-Type": content_type}
        if size > PART_BYTES:
            try:
                await put_parts(self._store, path, file, attributes)
            except Exception as error:
                # If answers to its end were lost it is whole, and there is nothing to end or abort.
                if not has_no_parts(error) or (await self.about(path)).size != size:
                    raise
            return
        data = await asyncio.to_thread(file.read_bytes)
        await self._store.put_async(path, data, attributes=attributes, use_multipart=False)

    async def _get(self, path: str, options: Any) -> bytes:
        found = await self._store.get_async(path, options=options)
        return bytes(await found.bytes_async())

    async def _list(self, folder: str) -> list[str]:
        return [one["path"] async for found in self._store.list(folder) for one in found]

    async def _delete(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), _DELETED_AT_ONCE):
            some = paths[start : start + _DELETED_AT_ONCE]
            await self._ask("delete", self._delete_some(some))

    async def _delete_some(self, paths: Sequence[str]) -> None:
        try:
            await self._store.delete_async(paths)
        except FileNotFoundError as error:
            if not is_missing(error):
                raise
            # Some clouds complain of one that is missing, and leave the rest.
            for start in range(0, len(paths), _DELETED_ALONE):
                calls = map(self._store.delete_async, paths[start : start + _DELETED_ALONE])
                for failure in await asyncio.gather(*calls, return_exceptions=True):
                    if isinstance(failure, Exception) and not is_missing(failure):
                        raise failure from None

    async def _ask(
        self, call: str, answer: Awaitable[T], path: str = "", more_seconds: float = 0.0
    ) -> T:
        """What the store answers, within a deadline.

        The library's errors name addresses and keys; ours do not. With `path`, that there is
        nothing is no failure of the store.
        """
        seconds = self.settings.retry_seconds + self.settings.timeout_seconds + 1.0
        try:
            async with asyncio.timeout(seconds + more_seconds):
                return await answer
        except Exception as error:
            if path and is_missing(error):
                failure: Exception = FileNotFoundError(path)
            elif is_local(error):
                raise
            else:
                failure = translate(self.name, call, error)
        # Raised out here, so that no cause goes with it.
        raise failure
