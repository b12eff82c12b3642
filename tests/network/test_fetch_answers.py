"""Downloading sources: what servers do wrong, in clear words, and whether to try again."""

import asyncio
import gzip
import socket
import struct
from pathlib import Path

import pytest
from aiohttp import web

from dragon.engine.network.connector import MAX_HEADS
from dragon.errors import TaskFailed, TaskInterrupted
from tests.support.fetching import failure, fetch, serving, talking


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (204, "204 No Content", TaskFailed),
        (304, "304 Not Modified", TaskFailed),
        (401, "401 Unauthorized", TaskFailed),
        (404, "404 Not Found", TaskFailed),
        (499, "499", TaskFailed),
        (408, "408 Request Timeout", TaskInterrupted),
        (425, "425 Too Early", TaskInterrupted),
        (429, "429 Too Many Requests", TaskInterrupted),
        (500, "500 Internal Server Error", TaskInterrupted),
        (503, "503 Service Unavailable", TaskInterrupted),
        (599, "599", TaskInterrupted),
        (999, "999", TaskFailed),
    ],
)
async def test_an_answer_other_than_the_file_is_named(
    status: int, words: str, kind: type, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, reason="Look At Me")

    async with serving(answer) as server:
        error = await failure(f"{server}/a.jpg", tmp_path)
    assert type(error) is kind
    assert error.message.endswith(f"the server answered {words}")


@pytest.mark.parametrize(
    ("count", "is_taken"), [(0, True), (MAX_HEADS - 1, True), (MAX_HEADS, False), (100_000, False)]
)
async def test_interim_answers_are_passed_over_but_not_without_end(
    count: int, is_taken: bool, tmp_path: Path
) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * count)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"a" * 50_000)
        await writer.drain()

    async with talking(talk) as server:
        if is_taken:
            assert (await fetch(f"{server}/a.jpg", tmp_path)).size == 50_000
            return
        error = await failure(f"{server}/a.jpg", tmp_path)
    assert type(error) is TaskFailed
    assert error.message.endswith("the server's answer comes in too many small pieces")


@pytest.mark.parametrize(("size", "is_taken"), [(1, False), (8, False), (100, True)])
async def test_a_body_may_come_in_chunks_but_not_in_crumbs(
    size: int, is_taken: bool, tmp_path: Path
) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n" % (size, b"a" * size) * 20_000 + b"0\r\n\r\n")
        await writer.drain()

    async with talking(talk) as server:
        if is_taken:
            assert (await fetch(f"{server}/a.jpg", tmp_path)).size == size * 20_000
            return
        error = await failure(f"{server}/a.jpg", tmp_path)
    assert type(error) is TaskFailed
    assert error.message.endswith("the server's answer comes in too many small pieces")


@pytest.mark.parametrize("is_reset", [True, False])
@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 50_000]
)
async def test_a_lost_connection_may_be_tried_again(
    head: bytes, is_reset: bool, tmp_path: Path
) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        if is_reset:
            linger = struct.pack("ii", 1, 0)
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskInterrupted)
    assert error.message.endswith("the connection to the server was lost")


async def test_a_refused_connection_may_be_tried_again(tmp_path: Path) -> None:
    with socket.socket() as silent:  # bound, but not listening: nobody else gets the port
        silent.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path)
    assert isinstance(error, TaskInterrupted)
    assert error.message.endswith("no connection to the server could be made")


async def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    try:
        socket.getaddrinfo("nobody.invalid", 80)
    except socket.gaierror as error:
        # Where no name server answers, nobody can tell that there is no such host.
        may_pass = error.errno == socket.EAI_AGAIN
    found = await failure("http://nobody.invalid/", tmp_path)
    assert isinstance(found, TaskInterrupted if may_pass else TaskFailed)
    assert "its host name" in found.message


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "unheard-of", "identity, gzip"])
async def test_a_compressed_answer_is_refused_unopened(coding: str, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        bomb = gzip.compress(bytes(10_000_000))
        return web.Response(body=bomb, headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert "Content-Encoding" in error.message


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
    ids=["long header", "many headers", "long status", "bad length", "two lengths", "not HTTP"],
)
async def test_a_malformed_answer_is_refused(head: bytes, tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("the server's answer is not valid HTTP")


async def test_a_server_without_tls_is_named(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(answer) as server:
        error = await failure(server.replace("http", "https") + "/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("no secure connection to the server could be made")
