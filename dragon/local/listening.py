"""The sockets that servers listen on, and the address that leads to them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dragon.errors import InvalidSettings


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises InvalidSettings if the address is taken."""
    return _listen(host, port, reuse_port=False)


@contextmanager
def listen_together(host: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Listening sockets on one address, among which the kernel spreads the connections.

    Raises InvalidSettings if the address is taken.
    """
    with ExitStack() as stack:
        # The first asks for the address as if it were alone. If it were to share it from the
        # start, another program of the same user could be there already, and nobody would know.
        first = stack.enter_context(listen(host, port))
        others = range(count - 1)
        if others:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        address = first.getsockname()[:2]
        yield [first, *(stack.enter_context(_listen(*address, reuse_port=True)) for _ in others)]


def local_url(listener: socket.socket) -> str:
    """The address for clients on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=1024,
            reuse_port=reuse_port,
        )
    except OSError as error:
        words = (error.strerror or str(error)).partition(" (while")[0]
        raise InvalidSettings(f"cannot listen on {host} port {port}: {words}") from None
