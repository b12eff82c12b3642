"""A worker's own directory, and the sweep of those whose worker is gone."""

import asyncio
import fcntl
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import structlog

log = structlog.get_logger()

SWEEP_SECONDS = 600.0


class WorkDirectory:
    """The directory `work/<worker>` below `data`, held by a lock that ends with the process."""

    def __init__(self, data: str, worker: str) -> None:
        self._root = Path(data).absolute() / "work"
        self.path = self._root / worker
        self._lock = -1

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._sweep()
            self.path.mkdir(mode=0o700)
            self._lock = _try_lock(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    async def run(self) -> None:
        """Sweep from time to time: a worker that is killed may have no successor."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311
            try:
                await asyncio.to_thread(self.sweep)
            except OSError as error:
                log.warning("sweep_failed", error=error.strerror)

    def sweep(self) -> None:
        """Delete what workers left that are gone. Raises OSError."""
        with self._alone():
            self._sweep()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One worker at a time: no sweep must find another's directory made, but unlocked."""
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(root, fcntl.LOCK_EX)
            yield
        finally:
            os.close(root)

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
