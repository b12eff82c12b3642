"""running.json: how the command line finds the Dragon that uses a data directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from dragon.local.private import write_private


class Running(Struct, frozen=True, kw_only=True):
    """Where a running Dragon answers, and the secret of its demo account if it has one."""

    url: str
    secret: str = ""


@contextmanager
def told_as_running(data: Path, running: Running) -> Iterator[None]:
    """The file is there for the time of the block."""
    path = _path(data)
    write_private(path, running)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_running(data: Path) -> Running | None:
    """Where the Dragon that uses this data directory answers, if it runs."""
    try:
        return msgspec.json.decode(_path(data).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def _path(data: Path) -> Path:
    return data / "running.json"
