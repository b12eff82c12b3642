"""A Valkey for a test alone, without a Dragon."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dragon.store.embedded import EmbeddedValkey
from tests.support.waiting import DEADLINE_SECONDS, wait_until


@contextlib.contextmanager
def valkey_server(data: Path, *options: str) -> Iterator[str]:
    """A Valkey of its own; yields its URL."""
    valkey = EmbeddedValkey(data)
    process = subprocess.Popen([*valkey.command(), *options])
    try:
        wait_until(lambda: _listens(valkey.url.removeprefix("unix://")))
        yield valkey.url
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def _listens(path: str) -> bool:
    """The socket is there a moment before anybody can connect."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0
