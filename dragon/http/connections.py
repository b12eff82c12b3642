"""Ends connections that ask for nothing and those that do not read what they asked for."""

import asyncio
import resource
import socket
from collections.abc import Awaitable
from typing import cast

from aiohttp import web

from dragon.http.middleware import Handler


class Connections:
    """The protocol factory of a web server: a first request has `seconds` to come, or twice that.

    The HTTP library waits for ever for the end of its headers, so that anybody could hold all
    the descriptors of the process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._new: set[web.RequestHandler] = set()
        self._old: set[web.RequestHandler] = set()

    @web.middleware
    def note(self, request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        self._new.discard(request.protocol)
        self._old.discard(request.protocol)
        return handler(request)

    async def listen(self, runner: web.AppRunner, listener: socket.socket) -> asyncio.Server:
        """Serve what the listener accepts, until the returned server is closed."""
        new_protocol = cast(web.Server, runner.server)
        _allow_many_descriptors()
        _give_up_unread(listener, self._seconds)

        def connect() -> asyncio.BaseProtocol:
            protocol = new_protocol()
            self._new.add(protocol)
            return protocol

        loop = asyncio.get_running_loop()
        return await loop.create_server(connect, sock=listener, backlog=1024)

    async def run(self) -> None:
        """End silent connections."""
        while True:
            await asyncio.sleep(self._seconds)
            for protocol in self._old:
                protocol.force_close()
            self._old, self._new = self._new, set()


def _give_up_unread(listener: socket.socket, seconds: float) -> None:
    """The kernel ends connections whose client takes nothing of what was sent for so long."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _allow_many_descriptors() -> None:
    """A waiting client is an open descriptor: as many as the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
