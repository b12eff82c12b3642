"""Loads a server over keep-alive connections, with requests that are bytes already."""

import asyncio
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import msgspec
from msgspec import Struct

WARM_SECONDS = 0.3
DEADLINE_SECONDS = 30.0


class Target(Struct, frozen=True, kw_only=True):
    """Where to send what; every answer must have that status and contain `proof`."""

    port: int
    make_request: Callable[[], bytes]
    status: int = 200
    proof: bytes = b""


class Load(Struct, frozen=True, kw_only=True):
    """What one load gave; `generator_cpu` is this process's share of one core meanwhile.

    `answers` are all, those before and after the time that is measured too.
    """

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    generator_cpu: float


def request(method: str, path: str, value: object = None, **headers: str) -> bytes:
    """An HTTP/1.1 request as it goes over the wire, with `value` as JSON in its body."""
    body = b"" if value is None else msgspec.json.encode(value)
    all_headers = {"Host": "127.0.0.1", **headers}
    if body:
        all_headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {text}" for key, text in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def load(target: Target, connections: int, seconds: float) -> Load:
    """Keep that many connections busy; each sends its next request when an answer is whole.

    Raises UnexpectedAnswer if one is not what the target says.
    """
    loop = asyncio.get_running_loop()
    meter = _Meter(WARM_SECONDS, seconds)
    cpu_began = time.process_time()
    began = time.perf_counter()
    protocols = []
    for _ in range(connections):
        connect = partial(_Connection, target, meter)
        _, protocol = await loop.create_connection(connect, "127.0.0.1", target.port)
        protocols.append(protocol)
    async with asyncio.timeout(WARM_SECONDS + seconds + DEADLINE_SECONDS):
        await asyncio.gather(*(protocol.ended for protocol in protocols))
    cpu_share = (time.process_time() - cpu_began) / (time.perf_counter() - began)
    return meter.result(cpu_share)


class UnexpectedAnswer(Exception):
    """A server that answers wrongly must not be measured as if it were fast."""


class _Meter:
    """Latencies of the answers that came after the warm-up and in time."""

    def __init__(self, warm_seconds: float, seconds: float) -> None:
        self._seconds = seconds
        self._begins = time.perf_counter() + warm_seconds
        self.ends = self._begins + seconds
        self._answers = 0
        self._latencies: list[float] = []

    def note(self, began: float, ended: float) -> None:
        self._answers += 1
        if self._begins <= ended < self.ends:
            self._latencies.append(ended - began)

    def result(self, generator_cpu: float) -> Load:
        if len(self._latencies) < 2:
            raise UnexpectedAnswer(f"fewer than two answers in {self._seconds:g} seconds")
        percentiles = statistics.quantiles(self._latencies, n=100, method="inclusive")
        return Load(
            answers=self._answers,
            per_second=len(self._latencies) / self._seconds,
            p50_ms=percentiles[49] * 1000,
            p99_ms=percentiles[98] * 1000,
            generator_cpu=generator_cpu,
        )


class _Connection(asyncio.Protocol):
    def __init__(self, target: Target, meter: _Meter) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._target = target
        self._meter = meter
        self._status = f"HTTP/1.1 {target.status} ".encode()
        self._answer = b""
        self._length = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered as asyncio's class, though they are like it.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._length:
            self._length = _answer_length(self._answer)
        if self._length and len(self._answer) >= self._length:
            self._finish(time.perf_counter())

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or UnexpectedAnswer("the server closed a connection"))

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._target.make_request())

    def _finish(self, now: float) -> None:
        answer, self._answer, self._length = self._answer, b"", 0
        self._meter.note(self._began, now)
        is_right = answer.startswith(self._status) and self._target.proof in answer
        if is_right and now < self._meter.ends:
            self._send()
            return
        if not self.ended.done():
            if is_right:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(UnexpectedAnswer(answer[:1000].decode(errors="replace")))
        self._transport.close()


def _answer_length(answer: bytes) -> int:
    """Of head and body together; 0 while the head is not whole."""
    head = answer.find(b"\r\n\r\n") + 4
    if head < 4:
        return 0
    start = answer.find(b"Content-Length: ", 0, head)
    if start < 0:
        raise UnexpectedAnswer(answer[:head].decode(errors="replace"))
    return head + int(answer[start + 16 : answer.index(b"\r", start)])
