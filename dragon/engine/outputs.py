"""Keeps the files that tasks make, on the local disk: `<data>/files/<2>/<key>/<token>/<name>`."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from dragon.schemas import Claim, OutputFile, file_path
from dragon.task import File, Files


class Outputs:
    """Each attempt has a directory of its own; which one counts is told by the job's record.

    So a file is there whole or not at all, and a run that lost its lease overwrites nothing.
    """

    def __init__(self, data: str) -> None:
        self._root = Path(data).absolute() / "files"

    def path(self, file: OutputFile) -> Path:
        return self._root / file.path

    async def keep(self, claim: Claim, files: Iterable[File]) -> tuple[OutputFile, ...]:
        """Move finished files to where they are served from."""
        folder = self._folder(claim.job.key) / str(claim.token)
        return await asyncio.to_thread(self._keep, folder, tuple(files))

    async def discard(self, claim: Claim) -> None:
        """Delete what a run kept that did not count in the end."""
        await asyncio.to_thread(
            shutil.rmtree, self._folder(claim.job.key) / str(claim.token), ignore_errors=True
        )

    async def delete(self, key: str) -> None:
        """Delete all files of a job; raises OSError if some could not be."""
        with contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, self._folder(key))

    def _folder(self, key: str) -> Path:
        return self._root / key[-2:] / key

    def _keep(self, folder: Path, files: tuple[File, ...]) -> tuple[OutputFile, ...]:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(self._keep_one(folder, file) for file in files)

    def _keep_one(self, folder: Path, file: File) -> OutputFile:
        target = folder / file.filename
        # One of a partial result may come again in the whole one, and lie there already.
        if file.path.exists() or not target.exists():
            os.replace(file.path, target)
        return OutputFile(
            name=file.name,
            filename=file.filename,
            content_type=file.content_type,
            path=str(target.relative_to(self._root)),
            size=target.stat().st_size,
        )


def split_result(result: object) -> tuple[object, tuple[File, ...]]:
    """A task's result as plain values, and its files; see `join_result` for the way back."""
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


def join_result(values: object, files: Iterable[OutputFile], base_url: str, key: str) -> object:
    """The result as clients see it: one flat object, each file's URL under its name."""
    urls = {file.name: base_url + file_path(key, file.filename) for file in files}
    return {**values, **urls} if isinstance(values, dict) else values
