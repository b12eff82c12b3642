"""Answers to clients that read them slowly, whole or in part."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from dragon.background import Background
from dragon.http.connections import Connections
from tests.support.api import Api
from tests.support.decoders import Logs
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS, undisturbed

SWEEP_SECONDS = 1.0
SIZE = 16_000_000
"""More than the kernel takes, so that some waits in the server."""


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon that sweeps its connections often."""
    path = tmp_path_factory.mktemp("hasty")
    with Dragon(path, DRAGON_WRITE_TIMEOUT_SECONDS=f"{SWEEP_SECONDS}") as hasty:
        yield hasty


@pytest_asyncio.fixture
async def hasty_api(hasty: Dragon) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, hasty.url)


async def request_of(api: Api, what: str) -> bytes:
    """A request that is answered with so many bytes: statuses, or a file."""
    if what == "file":
        text = SIZE // 1000 * "x"
        final = await api.run(task_name="site.write", text=text)
        path = final["result"]["output"].removeprefix(api.url)
        return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    final = await api.run(task_name="hello", name=SIZE // 1000 * "x")
    body = json.dumps({"tasks": 1000 * [final["key"]]}).encode()
    head = f"POST /v1/{what} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def asked(url: str, request: bytes) -> AsyncIterator[Any]:
    """A connection that takes little at once and has asked."""
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        host, port = url.removeprefix("http://").split(":")
        await loop.sock_connect(connection, (host, int(port)))
        await loop.sock_sendall(connection, request)
        yield connection


async def read_slowly(connection: socket.socket) -> None:
    """A little now and then, to the end."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await asyncio.get_running_loop().sock_recv(connection, 100):
            await asyncio.sleep(SWEEP_SECONDS / 50)


@pytest.mark.parametrize("what", ["status", "status_stream", "file"])
async def test_a_client_that_reads_a_little_now_and_then_is_dropped(
    hasty_api: Api, what: str
) -> None:
    """By the server or by its kernel, whichever is first."""
    async with asked(hasty_api.url, await request_of(hasty_api, what)) as connection:
        with pytest.raises(ConnectionResetError):
            await read_slowly(connection)


@pytest.mark.parametrize("what", ["status", "file"])
async def test_a_client_that_takes_its_time_gets_all(hasty_api: Api, what: str) -> None:
    loop, request = asyncio.get_running_loop(), await request_of(hasty_api, what)

    async def read_all() -> None:
        async with asked(hasty_api.url, request) as connection:
            began, size = loop.time(), 0
            while size < SIZE:
                data = await loop.sock_recv(connection, SIZE)
                assert data, "the answer was cut short"
                size += len(data)
                if loop.time() - began < 3 * SWEEP_SECONDS:
                    await asyncio.sleep(SWEEP_SECONDS / 50)

    # Who is held up for longer than a sweep takes nothing meanwhile.
    await undisturbed(read_all)


async def test_clients_that_leave_in_the_middle_of_a_file_are_no_bug(
    hasty: Dragon, hasty_api: Api
) -> None:
    request = await request_of(hasty_api, "file")

    async def leave_after(count: int) -> None:
        # On a busy machine this may read so slowly that the server leaves first.
        with suppress(ConnectionResetError):
            async with asked(hasty_api.url, request) as connection:
                while count > 0:
                    count -= len(await asyncio.get_running_loop().sock_recv(connection, count))

    for start in range(0, 100, 10):
        await asyncio.gather(*(leave_after(10_000 * number) for number in range(start, start + 10)))
    assert (await hasty_api.run(task_name="hello", name="you"))["status"] == "success"
    assert not hasty.events("request_bug")


async def test_a_client_is_dropped_where_the_kernel_does_not_do_it(logs: Logs) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=bytes(SIZE))

    connections = Connections(SWEEP_SECONDS)
    app = web.Application(middlewares=[connections.note])
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    async with Background() as background:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await connections.listen(runner, listener)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
            background.start(connections.run(), "connections")
            url = "http://{}:{}".format(*listener.getsockname())
            async with asked(url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
                with pytest.raises(ConnectionResetError):
                    await read_slowly(connection)
            server.close()
    await runner.cleanup()
    assert [event["event"] for event in logs] == ["slow_reader_dropped"]
