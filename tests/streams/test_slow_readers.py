"""Streams to clients that read late, nothing, or by another version of HTTP."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from dragon.http.answers import BUG
from dragon.http.streams.heartbeats import Heartbeats
from dragon.http.streams.streams import Streams
from dragon.schemas import Update
from tests.support.waiting import DEADLINE_SECONDS, until
from tests.support.watchers import Process, finish, tell_progress

LONG = "x" * 20_000
STEPS = 100
HIGH_WATER_BYTES = 64 * 1024


class Site:
    """A server that streams the statuses of some jobs to whoever asks, and buffers little."""

    def __init__(
        self,
        process: Process,
        keys: Sequence[str],
        streams: Streams,
        heartbeat_seconds: int | None = None,
    ) -> None:
        self._process = process
        self._keys = keys
        self._streams = streams
        self._heartbeat_seconds = heartbeat_seconds
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        stream = self._streams.open(request, self._heartbeat_seconds)
        return await stream.send(*await self._process.engine.watch(self._keys))

    @asynccontextmanager
    async def asked(self, version: str = "1.1") -> AsyncIterator[asyncio.StreamReader]:
        """A client that has asked, and read nothing yet."""
        app = web.Application()
        app.router.add_get("/", self.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        with small(socket.socket()) as listener, small(socket.socket()) as client:
            listener.bind(("127.0.0.1", 0))
            await web.SockSite(runner, listener).start()
            client.connect(listener.getsockname())
            client.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=client, limit=2 * len(LONG))
            writer.write(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n".encode())
            try:
                yield reader
            finally:
                writer.close()
                await runner.cleanup()


def small(connection: socket.socket) -> socket.socket:
    """Otherwise the kernel takes megabytes before anybody waits."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return connection


def line(update: Update) -> bytes:
    return update.line


async def read_head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await reader.readuntil(b"\r\n\r\n")


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk, empty when the answer is whole."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        size = int(await reader.readuntil(b"\r\n"), 16)
        return (await reader.readexactly(size + 2))[:-2]


async def read_statuses(reader: asyncio.StreamReader) -> list[Any]:
    """All of the lines that are left."""
    text = b""
    while chunk := await read_chunk(reader):
        text += chunk
    return [json.loads(line) for line in text.splitlines()]


async def test_a_client_that_reads_late_misses_statuses_but_no_end(process: Process) -> None:
    first, second = await process.start_jobs(2)
    site = Site(
        process, [first.job.key, second.job.key], Streams(line, DEADLINE_SECONDS, Heartbeats())
    )
    async with site.asked() as reader:
        await read_head(reader)
        await read_chunk(reader)
        for step in range(STEPS):
            await tell_progress(process.store, first, [step, LONG])
        await finish(process.store, second)
        await all_told(process)
        assert_buffers_little(site.requests[0])
        await finish(process.store, first)
        statuses = await read_statuses(reader)
    told = [status["progress"][0] for status in statuses if "progress" in status]
    assert told == sorted(set(told))
    assert len(told) < STEPS
    ends = [status["key"] for status in statuses if status["status"] == "success"]
    assert sorted(ends) == sorted([first.job.key, second.job.key])


async def all_told(process: Process) -> None:
    """Messages of one channel come in order: once this job's end came, all before it have."""
    [marker] = await process.start_jobs()
    async with process.watching([marker.job.key]) as (_, watch):
        await finish(process.store, marker)
        await watch.ends()


def assert_buffers_little(request: web.Request) -> None:
    assert request.transport
    size = request.transport.get_write_buffer_size()
    assert size <= HIGH_WATER_BYTES + 2 * len(LONG)


async def test_a_client_that_reads_nothing_is_dropped(process: Process) -> None:
    [held] = await process.start_jobs()
    site = Site(process, [held.job.key], Streams(line, 0.1, Heartbeats()))
    async with site.asked() as reader:
        await read_head(reader)
        await read_chunk(reader)
        step = 0

        async def is_dropped() -> bool:
            nonlocal step
            step += 1
            await tell_progress(process.store, held, [step, LONG])
            return process.watches.count == 0

        assert await until(is_dropped)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_statuses(reader)


async def test_lines_come_as_things_happen_in_http_1_0_too(process: Process) -> None:
    [held] = await process.start_jobs()
    site = Site(process, [held.job.key], Streams(line, DEADLINE_SECONDS, Heartbeats()))
    async with site.asked("1.0") as reader, asyncio.timeout(DEADLINE_SECONDS):
        assert not re.search(rb"(?i)transfer-encoding", await read_head(reader))
        assert json.loads(await reader.readline())[0]["status"] == "executing"
        await tell_progress(process.store, held, 1)
        assert json.loads(await reader.readline())["progress"] == 1
        await finish(process.store, held)
        assert json.loads(await reader.read())["status"] == "success"


async def test_a_bug_in_one_face_ends_its_stream_and_no_other(process: Process) -> None:
    [held] = await process.start_jobs()

    def fail(update: Update) -> bytes:
        return update.line if update.version < 3 else update.line[1 // 0 :]

    broken = Site(process, [held.job.key], Streams(fail, DEADLINE_SECONDS, Heartbeats()))
    sound = Site(process, [held.job.key], Streams(line, DEADLINE_SECONDS, Heartbeats()))
    async with broken.asked() as first, sound.asked() as second:
        for reader in (first, second):
            await read_head(reader)
            await read_chunk(reader)
        await finish(process.store, held)
        assert await read_statuses(first) == [{"status": "error", "message": BUG}]
        assert [status["status"] for status in await read_statuses(second)] == ["success"]
