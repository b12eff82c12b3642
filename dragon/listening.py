"""The socket that a server listens on, and the address that leads to it."""

import socket

from dragon.errors import InvalidSettings


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises InvalidSettings if the address is taken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        words = (error.strerror or str(error)).partition(" (while")[0]
        raise InvalidSettings(f"cannot listen on {host} port {port}: {words}") from None


def local_url(listener: socket.socket) -> str:
    """The address for clients on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
