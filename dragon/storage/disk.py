"""The local disk as a store of files: `<data>/files`, shared by all machines of one Dragon."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from dragon.background import to_its_end

_TRIES = 5


class Disk:
    """Files appear by a rename, whole or not at all. Methods raise OSError."""

    def __init__(self, data: str) -> None:
        self._root = Path(data).absolute() / "files"

    def path(self, path: str) -> Path:
        """Where a file lies."""
        return self._root / path

    async def keep(self, file: Path, path: str, content_type: str = "") -> int:
        """Move a finished file to `path`; its size. Its type is told by the job's record alone."""
        # No thread can be stopped: whoever discards the file of a cancelled run comes after it.
        return await to_its_end(asyncio.to_thread(self._keep, file, self.path(path)))

    async def delete(self, paths: Iterable[str]) -> None:
        """Delete files, and the directories that are empty then; missing ones are fine."""
        await asyncio.to_thread(self._delete, tuple(paths))

    async def delete_below(self, folder: str) -> None:
        """Delete all files whose paths begin with `folder/`; none is fine."""
        await asyncio.to_thread(self._delete_below, self.path(folder))

    def _keep(self, file: Path, target: Path) -> int:
        # One of a partial result may come again in the whole one, and lie there already.
        if file.exists() or not target.exists():
            self._move(file, target)
        return target.stat().st_size

    def _move(self, file: Path, target: Path) -> None:
        for _ in range(_TRIES - 1):
            # Whoever deletes the last file of a directory takes it away, perhaps just now.
            with contextlib.suppress(FileNotFoundError):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
                return
            if not file.exists():
                break
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)

    def _delete(self, paths: tuple[str, ...]) -> None:
        for path in map(self.path, paths):
            path.unlink(missing_ok=True)
            self._prune(path.parent)

    def _delete_below(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        self._prune(folder.parent)

    def _prune(self, folder: Path) -> None:
        """Remove directories that are empty, up to the root."""
        while folder != self._root and self._root in folder.parents:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return
            folder = folder.parent
