"""Connects to hosts that somebody else named: only where that is allowed."""

import socket
from functools import partial

import aiohttp

from dragon import __version__
from dragon.engine.network.addresses import AddressRules
from dragon.engine.network.connector import Connector
from dragon.engine.network.names import Names

_BUFFER_BYTES = 256 * 1024
"""As much as the event loop reads at once: with less, each read pauses the connection."""
UNSENT_BYTES = 64 * 1024
"""More than that does not wait inside the system, which would take megabytes of an upload at once
and then, for as long as a slow receiver needs for them, nothing."""


def guarded_session(addresses: AddressRules) -> aiohttp.ClientSession:
    """A session that connects nowhere but where `addresses` allows, and remembers nothing.

    To be used for every URL that somebody else gave, with `allow_redirects=False`.
    """
    return aiohttp.ClientSession(
        connector=Connector(
            # Each connect passes here with its final address; a resolver of one's own would
            # see neither IP literals nor what a name resolves to the second time.
            socket_factory=partial(_open_socket, addresses),
            resolver=Names(),
            limit=0,
        ),
        headers={"User-Agent": f"Dragon/{__version__}", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
        read_bufsize=_BUFFER_BYTES,
        auto_decompress=False,
        trust_env=False,
    )


class AddressRefused(OSError):
    """An OSError, so that the next address of a name is tried, and nothing else is skipped."""


def _open_socket(addresses: AddressRules, target: aiohttp.AddrInfoType) -> socket.socket:
    family, type_, protocol, _, (host, port, *_) = target
    if not addresses.is_allowed(str(host), int(port)):
        raise AddressRefused("refused")
    opened = socket.socket(family, type_, protocol)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    return opened
