"""Keeps the files that tasks make: `<account>/<day>/<key>/<token>/<name>` in the store chosen."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from dragon.engine.network.signed_uploads import SignedUploads
from dragon.errors import StorageRefused, StorageUnavailable, TaskFailed, TaskInterrupted
from dragon.schemas import LINKING_TYPES, SIGNED, Claim, OutputFile, Record, Ticket, file_path
from dragon.settings import Settings
from dragon.storage.bucket import Bucket
from dragon.storage.disk import Disk
from dragon.storage.stores import Stores
from dragon.task import File, Files

T = TypeVar("T")


class Outputs:
    """Each attempt has a directory of its own; which one counts is told by the job's record.

    So a file is there whole or not at all, and a run that lost its lease overwrites nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self.stores = Stores(settings)
        self._disk = Disk(settings.data)
        self._signed = SignedUploads(settings)

    def path(self, file: OutputFile) -> Path:
        """Where a file of the local disk lies."""
        return self._disk.path(file.path)

    def url(self, file: OutputFile, base_url: str, key: str) -> str:
        """Where a client gets the file."""
        if file.store == SIGNED:
            return file.path
        bucket = self.stores.get(file.store)
        if bucket and bucket.settings.public_url and file.content_type not in LINKING_TYPES:
            return bucket.public_url(file.path)
        return base_url + file_path(key, file.filename)

    def join(self, values: object, files: Iterable[OutputFile], base_url: str, key: str) -> object:
        """A result as clients see it: one flat object, each file's URL under its name."""
        urls = {file.name: self.url(file, base_url, key) for file in files}
        return {**values, **urls} if isinstance(values, dict) else values

    async def keep(self, claim: Claim, files: Iterable[File]) -> tuple[OutputFile, ...]:
        """Move finished files to where they are served from; TaskFailed or TaskInterrupted."""
        if claim.job.store == "s3_signed":
            return await self._signed.keep(claim.job, tuple(files))
        kept = await _all(self._keep(claim, file) for file in files)
        return tuple(kept)

    async def discard(self, claim: Claim) -> None:
        """Delete what a run kept that did not count in the end."""
        with suppress(OSError, StorageUnavailable):
            await self._place().delete_below(_attempt(claim))

    async def delete(self, records: Sequence[Record]) -> None:
        """Delete all files of these jobs, those of attempts that did not count too.

        Raises StorageUnavailable if some could not be.
        """
        await self.delete_files(file for record in records for file in record.files)
        with _worded():
            for record in records:
                await self._disk.delete_below(_folder(record.job))
        # Asking a store costs money: not where nothing can be.
        await _all(
            bucket.delete_below(_folder(record.job))
            for record in filter(_may_have_more, records)
            for bucket in map(self.stores.get, self.stores_of(record))
            if bucket
        )

    def stores_of(self, record: Record) -> set[str]:
        """The names of the stores that `delete` asks; the local disk is none."""
        names = {file.store for file in record.files if self.stores.get(file.store)}
        if self.stores.chosen and _may_have_more(record):
            names.add(self.stores.chosen.name)
        return names

    async def delete_files(self, files: Iterable[OutputFile]) -> None:
        """Delete just these; missing ones are fine. Raises StorageUnavailable."""
        paths: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            paths[file.store].append(file.path)
        for name, some in paths.items():
            # What its client holds, or a store that is configured no more, is out of reach.
            if place := self._disk if not name else self.stores.get(name):
                with _worded():
                    await place.delete(some)

    async def _keep(self, claim: Claim, file: File) -> OutputFile:
        path = f"{_attempt(claim)}/{file.filename}"
        bucket = self.stores.chosen
        try:
            size = await self._place().keep(file.path, path, file.content_type)
        except StorageRefused as error:
            raise TaskFailed(f"'{file.name}' could not be kept: {error.message}") from None
        except StorageUnavailable as error:
            raise TaskInterrupted(f"'{file.name}' could not be kept: {error.message}") from None
        return OutputFile(
            name=file.name,
            filename=file.filename,
            content_type=file.content_type,
            path=path,
            size=size,
            store=bucket.name if bucket else "",
        )

    def _place(self) -> Disk | Bucket:
        """Where outputs go now."""
        return self.stores.chosen or self._disk


def _folder(job: Ticket) -> str:
    """Of all files of one job."""
    return f"{job.account}/{job.queued[:10]}/{job.key}"


def _attempt(claim: Claim) -> str:
    return f"{_folder(claim.job)}/{claim.token}"


def _may_have_more(record: Record) -> bool:
    """Files of lost attempts, or of partial results; deliveries of web hooks never make any."""
    # Queued, claimed and ended: in between nothing was told, and no run was lost. One that ended
    # sooner never ran.
    plain_version = 3 if record.update.state == "success" else 2
    return record.update.version > plain_version and record.job.kind != "hook"


async def _all(calls: Iterable[Awaitable[T]]) -> list[T]:
    """What they return; the first error once all have ended, so that none goes on unseen."""
    values: list[T] = []
    for one in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        values.append(one)
    return values


@contextmanager
def _worded() -> Iterator[None]:
    """What the local disk did not do, in the words of other stores."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"files could not be deleted: {error.strerror}") from error


def split_result(result: object) -> tuple[object, tuple[File, ...]]:
    """A task's result as plain values, and its files; `Outputs.join` is the way back."""
    if isinstance(result, msgspec.Struct):
        result = msgspec.structs.asdict(result)
    if not isinstance(result, dict):
        return msgspec.to_builtins(result), ()
    values: dict[str, object] = {}
    files: list[File] = []
    for name, value in result.items():
        if isinstance(value, File):
            files.append(value)
        elif isinstance(value, Files):
            files += value.files
        else:
            values[name] = msgspec.to_builtins(value)
    return values, tuple(files)
