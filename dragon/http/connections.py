"""Ends connections that ask for nothing and those that do not read what they asked for."""

import asyncio
import resource
import socket
import struct
from collections.abc import Awaitable
from typing import cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

log = structlog.get_logger()

MIN_TAKEN_BYTES = 16 * 1024
"""What a client must take of an answer from one sweep to the next, unless less is left."""

_ACKNOWLEDGED = struct.Struct("=120xQ")
"""Where Linux tells, of a connection, how much of what was sent has arrived."""


class Connections:
    """The protocol factory of a web server: a first request has `seconds` to come, or twice that.

    The HTTP library waits for ever for the end of its headers, so that anybody could hold all
    the descriptors of the process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._new: set[web.RequestHandler] = set()
        self._old: set[web.RequestHandler] = set()
        self._server: web.Server | None = None
        self._due: dict[web.RequestHandler, int] = {}
        """What has to have arrived by the next sweep, where some of an answer waits."""

    @web.middleware
    def note(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        self._new.discard(request.protocol)
        self._old.discard(request.protocol)
        return handler(request)

    async def listen(self, runner: web.AppRunner, listener: socket.socket) -> asyncio.Server:
        """Serve what the listener accepts, until the returned server is closed."""
        self._server = new_protocol = cast(web.Server, runner.server)
        _allow_many_descriptors()
        _give_up_unread(listener, self._seconds)

        def connect() -> asyncio.BaseProtocol:
            protocol = new_protocol()
            self._new.add(protocol)
            return protocol

        loop = asyncio.get_running_loop()
        return await loop.create_server(connect, sock=listener, backlog=1024)

    async def run(self) -> None:
        """End connections that are silent, or take an answer too slowly."""
        while True:
            await asyncio.sleep(self._seconds)
            for protocol in self._old:
                protocol.force_close()
            self._old, self._new = self._new, set()
            if hasattr(socket, "TCP_INFO"):
                self._end_slow()

    def _end_slow(self) -> None:
        due, self._due = self._due, {}
        for protocol in self._server.connections if self._server else ():
            transport = protocol.transport
            left = transport.get_write_buffer_size() if transport else 0
            if not transport or not left:
                continue
            arrived = _arrived(transport)
            if arrived >= due.get(protocol, 0):
                self._due[protocol] = arrived + min(left, MIN_TAKEN_BYTES)
            else:
                log.warning("slow_reader_dropped", left_bytes=left)
                reset(transport)


def reset(transport: asyncio.Transport) -> None:
    """End a connection and forget what waits for its client, also in the kernel."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _arrived(transport: asyncio.Transport) -> int:
    """How many bytes the client's system has taken since the connection was made."""
    connection = transport.get_extra_info("socket")
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
    (count,) = _ACKNOWLEDGED.unpack(information)
    return int(count)


def _give_up_unread(listener: socket.socket, seconds: float) -> None:
    """The kernel ends connections whose client takes nothing of what was sent for so long."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _allow_many_descriptors() -> None:
    """A waiting client is an open descriptor: as many as the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
