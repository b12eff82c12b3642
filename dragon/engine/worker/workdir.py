"""A worker's own directory, and the sweep of those whose worker is gone."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Self


class WorkDirectory:
    """`<data>/work/<worker>`, held by a lock that ends with the process, however it ends."""

    def __init__(self, data: str, worker: str) -> None:
        self._root = Path(data).absolute() / "work"
        self.path = self._root / worker
        self._lock = -1

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True, exist_ok=True)
        # One worker at a time: the sweep of another must not find this one made, but unlocked.
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(root, fcntl.LOCK_EX)
            self._sweep()
            self.path.mkdir(mode=0o700)
            self._lock = _try_lock(self.path)
        finally:
            os.close(root)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _sweep(self) -> None:
        """Delete by ownership, not by age: a lock that can be had belongs to nobody alive."""
        for path in self._root.iterdir():
            if path.is_dir() and (lock := _try_lock(path)) >= 0:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _try_lock(path: Path) -> int:
    """A descriptor that holds the directory's lock, or -1 if another process has it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return -1
    return descriptor
