"""A proxy before an HTTP server that answers errors, is slow, and cuts connections."""

import asyncio
import re
from collections.abc import Callable
from typing import Self

from msgspec import Struct

_PIECE_BYTES = 16_384


class Request(Struct, frozen=True):
    """The first line of what came through the proxy."""

    method: str
    target: str


class Fault(Struct, frozen=True, kw_only=True):
    """What befalls one request; nothing unless told so."""

    status: int = 0
    """Answered by the proxy, once it has the whole request."""
    delay_seconds: float = 0.0
    """Before anything is passed on."""
    bytes_up: int | None = None
    """Of the request's body, after which both sides are cut."""
    bytes_down: int | None = None
    """Of the answer, its head included."""


NONE = Fault()

Choice = Callable[[Request], Fault]


class FaultyServer:
    """Stands before `upstream`, host:port. Each request has a connection of its own."""

    def __init__(self, upstream: str) -> None:
        self.choose: Choice = lambda _: NONE
        self.requests: list[Request] = []
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, method: str, part: str = "") -> int:
        """How many requests there were whose target has this part."""
        return sum(one.method == method and part in one.target for one in self.requests)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side is gone, so the other has to go as well
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        request = Request(method, target)
        self.requests.append(request)
        fault = self.choose(request)
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        await asyncio.sleep(fault.delay_seconds)
        if fault.status:
            await reader.readexactly(size)
            line = f"HTTP/1.1 {fault.status} Fault\r\n"
            await _write(writer, f"{line}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await _close(writer)
            return
        host, port = self._upstream.split(":")
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        try:
            await _write(to_writer, _closing(head))
            if await _copy(reader, to_writer, size, fault.bytes_up):
                await _copy(to_reader, writer, None, fault.bytes_down)
                if fault.bytes_down is None:
                    await _close(writer)
        finally:
            to_writer.transport.abort()


def choose(fault: Fault, times: int = 1_000_000, method: str = "", part: str = "") -> Choice:
    """This fault for the first so many requests with the method and a target that has the part."""
    left = times

    def one(request: Request) -> Fault:
        nonlocal left
        is_meant = method in ("", request.method) and part in request.target
        if not is_meant or not left:
            return NONE
        left -= 1
        return fault

    return one


def _closing(head: str) -> bytes:
    """The same request, after which the server closes."""
    kept = re.sub(r"(?i)\r\nconnection:[^\r]*", "", head)
    return kept.replace("\r\n", "\r\nConnection: close\r\n", 1).encode("latin-1")


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int | None, most: int | None
) -> bool:
    """Pass on `size` bytes, or all there are; False if it ends after `most` of them."""
    passed = 0
    while size is None or passed < size:
        left = min([_PIECE_BYTES, *(end - passed for end in (size, most) if end is not None)])
        if not left:
            return False
        data = await reader.read(left)
        if not data:
            return size is None
        await _write(writer, data)
        passed += len(data)
    return True


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Once all that was written is on its way."""
    writer.close()
    await writer.wait_closed()
