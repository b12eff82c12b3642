"""Thousands of streams that wait for one event: their memory, and how soon all have heard."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import cast

import aiohttp
import psutil

from tests.bench.hello import SUCCESS
from tests.bench.load import UnexpectedAnswer, request
from tests.bench.plan import HEADERS, Plan
from tests.bench.report import Part
from tests.bench.servers import bare_server

OPENING_AT_ONCE = 100
DEADLINE_SECONDS = 60.0


async def measure_streams(plan: Plan) -> list[Part]:
    """`status_stream` on one job that waits at a gate, beside a bare streaming handler."""
    figures = {version: await _measure_dragon(plan, version) for version in ("v2", "v1")}
    gate = plan.directory / "bare.gate"
    with bare_server("gate", str(gate)) as bare:
        bare_figures = await _measure(plan, bare.port, bare.pid, "/v1/status_stream", gate)
    return [
        Part(
            title=f"{plan.streams:,} waiting streams",
            columns=("", "KiB a stream", "ms until all have heard"),
            rows=[
                _row("dragon, /v2", figures["v2"]),
                _row("dragon, /v1", figures["v1"]),
                _row("bare streaming handler", bare_figures),
            ],
            ratios={
                "dragon / bare, memory": figures["v2"][0] / bare_figures[0],
                "dragon / bare, time": figures["v2"][1] / bare_figures[1],
                "/v2 / /v1, memory": figures["v2"][0] / figures["v1"][0],
                "/v2 / /v1, time": figures["v2"][1] / figures["v1"][1],
            },
            notes=("the gate is looked at every 20 ms in all",),
        )
    ]


def _row(name: str, figures: tuple[float, float]) -> tuple[str, str, str]:
    kibibytes, milliseconds = figures
    return name, f"{kibibytes:.1f}", f"{milliseconds:.0f}"


async def _measure_dragon(plan: Plan, version: str) -> tuple[float, float]:
    with plan.dragon(f"streams-{version}") as dragon:
        gate = plan.directory / f"{version}.gate"
        key = await _create_gated(dragon.url, gate)
        path = f"/{version}/status_stream?tasks={key}"
        return await _measure(plan, dragon.port, dragon.server().pid, path, gate)


async def _create_gated(url: str, gate: Path) -> str:
    body = {"tasks": {"task_name": "site.gate", "path": str(gate)}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/v2/create", json=body, headers=HEADERS) as response,
    ):
        [status] = await response.json()
        return str(status["key"])


async def _measure(plan: Plan, port: int, pid: int, path: str, gate: Path) -> tuple[float, float]:
    """KiB that the server grew by for each stream; ms from the opening to the last stream."""
    process = psutil.Process(pid)
    data = request("GET", path)
    (first,) = await _open(1, port, data)
    before = process.memory_info().rss
    streams = await _open(plan.streams, port, data)
    grown = process.memory_info().rss - before
    began = time.perf_counter()
    gate.touch()
    async with asyncio.timeout(DEADLINE_SECONDS):
        heard = await asyncio.gather(*(stream.heard for stream in (first, *streams)))
    return grown / len(streams) / 1024, (max(heard) - began) * 1000


async def _open(count: int, port: int, data: bytes) -> list["_Stream"]:
    """Streams that have all got their first line."""
    loop = asyncio.get_running_loop()
    streams: list[_Stream] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(streams) < count:
            for _ in range(min(OPENING_AT_ONCE, count - len(streams))):
                _, stream = await loop.create_connection(partial(_Stream, data), "127.0.0.1", port)
                streams.append(stream)
            await asyncio.gather(*(stream.opened for stream in streams[-OPENING_AT_ONCE:]))
    return streams


class _Stream(asyncio.Protocol):
    """Notes when the first line has come, and when the end of the job has."""

    def __init__(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.heard: asyncio.Future[float] = loop.create_future()
        self._data = data
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.opened.done() and b"]\n" in self._received:
            self.opened.set_result(None)
        if not self.heard.done() and SUCCESS in self._received:
            self.heard.set_result(time.perf_counter())
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.opened, self.heard):
            if not future.done():
                words = self._received[:1000].decode(errors="replace")
                future.set_exception(error or UnexpectedAnswer(words))
