"""Bare servers to measure beside, each a process of its own: `python -m tests.bench.servers`."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import redis.asyncio as redis
import uvloop
from aiohttp import web

from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE_SECONDS

STATUS = (
    b'{"status":"%s","key":"5OYA5JQVFIAHYOMLQG5QV3U33M","result":"Hello World",'
    b'"events":{"queued":"2013-04-03T15:47:27.703674+00:00",'
    b'"started":"2013-04-03T15:47:27.707526+00:00",'
    b'"completed":"2013-04-03T15:47:27.726229+00:00"}}'
)
ANSWER = b"[" + STATUS % b"success" + b"]"
POOL_SIZE = 16
GATE_SECONDS = 0.02
CHANNEL = "relay"


class Server:
    """A running bare server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.pid = process.pid
        self.port = port


@contextmanager
def bare_server(name: str, argument: str = "") -> Iterator[Server]:
    """One of those below by its name, and what it is told, until the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.servers", name, argument],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        yield Server(process, int(process.stdout.readline()))
        process.stdin.close()
        process.wait(DEADLINE_SECONDS)


async def _run(name: str, argument: str) -> None:
    """Serve until standard input ends, so that no server outlives who started it."""
    if name == "ceiling":
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Ceiling, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()
        return
    apps = {
        "constant": _constant,
        "redirect": _redirect,
        "round_trip": _round_trip,
        "gate": _gate,
        "relay": _relay,
        "source": _source,
    }
    runner = web.AppRunner(apps[name](argument), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


class _Ceiling(asyncio.Protocol):
    """Answers each read without looking at it: as fast as the generator can be told anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
        self._answer = head.encode() + ANSWER

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)


def _constant(_: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=ANSWER, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/create", answer)
    return app


def _redirect(_: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/", "Cache-Control": "max-age=60"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


def _round_trip(url: str) -> web.Application:
    """One script call for each request, the least that a store needs."""
    pool = redis.BlockingConnectionPool.from_url(url, max_connections=POOL_SIZE)
    client = redis.Redis(connection_pool=pool)
    script = client.register_script("return redis.call('SET', KEYS[1], ARGV[1])")
    numbers = itertools.count()

    async def answer(request: web.Request) -> web.Response:
        await script(keys=[f"key:{next(numbers) % 10_000}"], args=[await request.read()])
        return web.Response(body=ANSWER, content_type="application/json")

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        yield
        await client.aclose()

    app = web.Application()
    app.router.add_post("/v1/create", answer)
    app.cleanup_ctx.append(lifetime)
    return app


def _gate(path: str) -> web.Application:
    """Streams a line, and another when the file exists, looking as often as the gated task."""
    opened = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(b"[" + STATUS % b"executing" + b"]\n")
        await opened.wait()
        await response.write(STATUS % b"success" + b"\n")
        return response

    async def watch() -> None:
        while not Path(path).exists():
            await asyncio.sleep(GATE_SECONDS)
        opened.set()

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()

    app = web.Application()
    app.router.add_get("/v1/status_stream", stream)
    app.cleanup_ctx.append(lifetime)
    return app


def _relay(url: str) -> web.Application:
    """Writes each message of one channel, "KEY LINE", to the stream that waits for the key."""
    client = redis.Redis.from_url(url)
    streams: dict[bytes, web.StreamResponse] = {}

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(b"[" + STATUS % b"executing" + b"]\n")
        streams[request.query["tasks"].encode()] = response
        await asyncio.Event().wait()
        return response

    async def listen() -> None:
        async with client.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            async for message in subscription.listen():
                if message["type"] == "message":
                    key, _, line = message["data"].partition(b" ")
                    await streams[key].write(line + b"\n")

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(listen())
        yield
        task.cancel()
        await client.aclose()

    app = web.Application()
    app.router.add_get("/v1/status_stream", stream)
    app.cleanup_ctx.append(lifetime)
    return app


def _source(path: str) -> web.Application:
    body = Path(path).read_bytes()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/photo.jpg", answer)
    return app


if __name__ == "__main__":
    uvloop.run(_run(*sys.argv[1:]))
