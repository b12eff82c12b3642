"""Downloads as tests make them, and servers that behave in every way."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dragon.engine.network.fetching import Fetcher
from dragon.errors import TaskError
from dragon.settings import Settings
from dragon.task import Source

LOCAL = Settings(fetch_allow=("127.0.0.1",), fetch_timeout_seconds=30)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def fetch(
    url: str, directory: Path, settings: Settings = LOCAL, *, is_media: bool = False
) -> Source:
    async with Fetcher(settings) as fetcher:
        return await fetcher.fetch(url, directory / "source", is_media=is_media)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def failure(
    url: str, directory: Path, *, is_media: bool = False, **settings: Any
) -> TaskError:
    """What fetching `url` raises; nothing is left in the directory."""
    values: dict[str, Any] = {"fetch_allow": LOCAL.fetch_allow, "fetch_timeout_seconds": 30}
    with pytest.raises(TaskError) as caught:
        await fetch(url, directory, Settings(**(values | settings)), is_media=is_media)
    assert names_in(directory) == []
    assert caught.value.message.startswith(f"File '{url}' could not be fetched: ")
    assert "127.0.0.1" not in caught.value.message.replace(url, "")
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A web server whose every path is `handler`'s; its address, without a last slash."""
    application = web.Application(handler_args={"auto_decompress": False})
    application.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(application, host="127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.port}"


@asynccontextmanager
async def talking(
    talk: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that answers a request with whatever bytes `talk` writes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Canary:
    """A listening socket that nobody may connect to."""

    def __init__(self) -> None:
        if socket.has_dualstack_ipv6():
            self._socket = socket.create_server(
                ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
            )
        else:
            self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()

    @property
    def was_touched(self) -> bool:
        """Whether a connection was made; the kernel makes it, whether it is accepted or not."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True
