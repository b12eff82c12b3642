"""How soon each of many waiting clients reads what happened to its own task."""

import asyncio
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.bench.load import UnexpectedAnswer, request
from tests.bench.plan import Plan
from tests.bench.report import Part
from tests.bench.servers import bare_server
from tests.bench.teller import JOBS, RATE
from tests.support.paths import ROOT

WARM_SECONDS = 0.5
TURN_SECONDS = 0.4
"""Short, since processors that mostly idle are now slow, now fast, for seconds."""
DEADLINE_SECONDS = 30.0
_TIME = b'"progress":'


async def measure_events(plan: Plan) -> list[Part]:
    """From just before a script call that publishes to the client's read."""
    async with AsyncExitStack() as stack:
        dragon = stack.enter_context(plan.dragon("events"))
        worker = dragon.worker()
        # Another process takes its place, and all of its jobs.
        worker.suspend()
        stack.callback(worker.resume)
        url = dragon.settings().redis
        bare = stack.enter_context(bare_server("relay", url))
        targets = {
            "dragon": await stack.enter_async_context(_listening("dragon", url, dragon.port)),
            "bare subscriber": await stack.enter_async_context(_listening("bare", url, bare.port)),
        }
        for target in targets.values():
            await target.measure(WARM_SECONDS)
            target.forget()
        for _ in range(int(plan.rounds * plan.seconds / TURN_SECONDS)):
            for target in targets.values():
                await target.measure(TURN_SECONDS)
    figures = {name: target.percentiles() for name, target in targets.items()}
    (dragon_p50, dragon_p99), (bare_p50, bare_p99) = figures.values()
    return [
        Part(
            title=f"{RATE:.0f} events a second to {JOBS} streams, one task each",
            columns=("", "p50 ms", "p99 ms"),
            rows=[(name, f"{p50:.2f}", f"{p99:.2f}") for name, (p50, p99) in figures.items()],
            ratios={
                "dragon / bare, p50": dragon_p50 / bare_p50,
                "dragon / bare, p99": dragon_p99 / bare_p99,
            },
            notes=("from just before the script call that publishes to the client's read",),
        )
    ]


class _Target:
    """A server with a stream for each job, and a process that tells of the jobs."""

    def __init__(self, teller: Process) -> None:
        self._teller = teller
        self._seconds: list[float] = []

    def note(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def forget(self) -> None:
        self._seconds.clear()

    def percentiles(self) -> tuple[float, float]:
        """p50 and p99 in ms, of all that was measured."""
        percentiles = statistics.quantiles(self._seconds, n=100, method="inclusive")
        return percentiles[49] * 1000, percentiles[98] * 1000

    async def measure(self, seconds: float) -> None:
        """Have it told for so long; returns when all has been read."""
        assert self._teller.stdin
        assert self._teller.stdout
        self._teller.stdin.write(f"{seconds}\n".encode())
        count = len(self._seconds) + int(seconds * RATE)
        async with asyncio.timeout(seconds + DEADLINE_SECONDS):
            await self._teller.stdout.readline()
            while len(self._seconds) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def _listening(name: str, url: str, port: int) -> AsyncIterator[_Target]:
    teller = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.teller", name, url,
        cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=2**20,
    )  # fmt: skip
    assert teller.stdin
    assert teller.stdout
    streams: list[_Stream] = []
    try:
        target = _Target(teller)
        keys = (await teller.stdout.readline()).decode().split()
        async with asyncio.timeout(DEADLINE_SECONDS):
            streams += [await _open(port, key, target) for key in keys]
        yield target
    finally:
        for stream in streams:
            stream.close()
        teller.stdin.close()
        await teller.wait()


async def _open(port: int, key: str, target: _Target) -> "_Stream":
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: _Stream(key, target), "127.0.0.1", port)
    await stream.opened
    return stream


class _Stream(asyncio.Protocol):
    """Notes how long ago each line was told."""

    def __init__(self, key: str, target: _Target) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request("GET", f"/v1/status_stream?tasks={key}")
        self._target = target
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self.opened.done():
            _, _, rest = data.partition(_TIME)
            self._target.note(now - float(rest[: rest.index(b",")]))
            return
        self._first += data
        if b"]\n" in self._first:
            self.opened.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            words = self._first[:1000].decode(errors="replace")
            self.opened.set_exception(error or UnexpectedAnswer(words))

    def close(self) -> None:
        self._transport.close()
