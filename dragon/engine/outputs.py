"""Keeps the files that tasks make: `<account>/<day>/<key>/<token>/<name>` in the store chosen."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from dragon.errors import StorageUnavailable
from dragon.schemas import Claim, Job, OutputFile, Record, file_path
from dragon.settings import Settings
from dragon.storage.disk import Disk
from dragon.task import File, Files


class Outputs:
    """Each attempt has a directory of its own; which one counts is told by the job's record.

    So a file is there whole or not at all, and a run that lost its lease overwrites nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._disk = Disk(settings.data)

    def path(self, file: OutputFile) -> Path:
        """Where a file of the local disk lies."""
        return self._disk.path(file.path)

    def url(self, file: OutputFile, base_url: str, key: str) -> str:
        """Where a client gets the file."""
        return base_url + file_path(key, file.filename)

    def join(self, values: object, files: Iterable[OutputFile], base_url: str, key: str) -> object:
        """A result as clients see it: one flat object, each file's URL under its name."""
        urls = {file.name: self.url(file, base_url, key) for file in files}
        return {**values, **urls} if isinstance(values, dict) else values

    async def keep(self, claim: Claim, files: Iterable[File]) -> tuple[OutputFile, ...]:
        """Move finished files to where they are served from."""
        return tuple([await self._keep(claim, file) for file in files])

    async def discard(self, claim: Claim) -> None:
        """Delete what a run kept that did not count in the end."""
        with suppress(OSError):
            await self._disk.delete_below(_attempt(claim))

    async def delete(self, record: Record) -> None:
        """Delete all files of a job, those of attempts that did not count too.

        Raises StorageUnavailable if some could not be.
        """
        await self.delete_files(record.files)
        try:
            await self._disk.delete_below(_folder(record.job))
        except OSError as error:
            raise _not_deleted(error) from error

    async def delete_files(self, files: Iterable[OutputFile]) -> None:
        """Delete just these; missing ones are fine. Raises StorageUnavailable."""
        try:
            await self._disk.delete(file.path for file in files)
        except OSError as error:
            raise _not_deleted(error) from error

    async def _keep(self, claim: Claim, file: File) -> OutputFile:
        path = f"{_attempt(claim)}/{file.filename}"
        return OutputFile(
            name=file.name,
            filename=file.filename,
            content_type=file.content_type,
            path=path,
            size=await self._disk.keep(file.path, path),
        )


def _folder(job: Job) -> str:
    """Of all files of one job."""
    return f"{job.account}/{job.queued[:10]}/{job.key}"


def _attempt(claim: Claim) -> str:
    return f"{_folder(claim.job)}/{claim.token}"


def _not_deleted(error: OSError) -> StorageUnavailable:
    return StorageUnavailable(f"files could not be deleted: {error.strerror}")


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
