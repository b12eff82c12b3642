"""`make soak`: mixed load with random faults for some minutes, and memory that must stay flat."""

import argparse
import asyncio
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from redis.exceptions import RedisError

from dragon.engine.files.expiry import HOLD_SECONDS
from tests.chaos.check import check
from tests.chaos.harness import ATTEMPTS, LEASE_SECONDS, Definition, Fleet
from tests.chaos.test_clients import HELLO
from tests.chaos.test_crashes import mixed
from tests.chaos.test_load import ask_and_read_nothing
from tests.chaos.test_store_faults import cut_feeds
from tests.support.origin import Origin
from tests.support.processes import Part
from tests.support.waiting import until

RETENTION_SECONDS = "45"
SETTINGS = {
    "DRAGON_RETENTION_SECONDS": RETENTION_SECONDS,
    "DRAGON_VOLATILE_SECONDS": RETENTION_SECONDS,
    "DRAGON_IDEMPOTENCY_SECONDS": RETENTION_SECONDS,
    "DRAGON_WRITE_TIMEOUT_SECONDS": "2",
    "DRAGON_REDIS_TIMEOUT_SECONDS": "4",
    "DRAGON_LEASE_SECONDS": f"{LEASE_SECONDS}",
}
"""With records that are kept for days no memory would be flat."""

SAMPLE_SECONDS = 5.0
FAULT_SECONDS = 10.0
MOST_GROWTH = 0.1
SPARE_BYTES = 4_000_000
COLUMNS = ("seconds", "server", "worker", "valkey", "server fds", "worker fds", "links")

Sample = tuple[float, ...]


class Soak:
    """One server and one worker are never killed: theirs is the memory that must be flat."""

    def __init__(self, fleet: Fleet, origin: Origin, chance: random.Random) -> None:
        self._fleet = fleet
        self._origin = origin
        self._chance = chance
        self._server, self._worker = fleet.servers[0], fleet.workers[0]
        self._ended = 0
        self._faults = 0

    async def run(self, seconds: float) -> None:
        """Raises AssertionError for the first thing that does not hold."""
        loads = [self._submit, self._stream, self._cancel, self._repeat, self._stall]
        began = time.monotonic()
        samples: list[Sample] = []
        async with asyncio.TaskGroup() as group:
            for act in (*loads, *loads, self._break):
                group.create_task(repeat(act, began + seconds))
            group.create_task(repeat(lambda: self._sample(began, samples), began + seconds))
        await until(self._all_is_forgotten, float(RETENTION_SECONDS) + HOLD_SECONDS + 60)
        await check(self._fleet)
        for place in (1, 2, 3):
            assert_flat(COLUMNS[place], samples, place)
        print(f"{self._ended} tasks ended, {self._faults} faults, and memory is flat")

    # Load.

    def _tasks(self) -> list[Definition]:
        url = self._origin.url("rocket.jpg")
        thumb = {"task_name": "image.thumb", "url": url, "width": 60}
        return [*mixed(self._chance, 8), thumb, {"task_name": "image.info", "url": url}]

    async def _submit(self) -> None:
        await self._end(await self._fleet.submit(self._tasks(), self._chance))

    async def _stream(self) -> None:
        keys: list[str] = []
        # The server may be killed meanwhile, and asks to come again while Valkey is away.
        with suppress(aiohttp.ClientError, OSError, StopAsyncIteration):
            api = self._fleet.api(self._chance.choice(self._fleet.servers))
            body = {"tasks": self._tasks()}
            url = api.url + "/v1/create_stream"
            async with self._fleet.session.post(url, json=body, headers=api.headers) as response:
                if response.status == 200:
                    lines = self._fleet.lines(response)
                    keys += [status["key"] for status in await anext(lines)]
                    _ = [line async for line in lines]
        await self._end(keys)

    async def _cancel(self) -> None:
        keys = await self._fleet.submit([{"task_name": "site.hold", "seconds": 30}] * 2)
        await self._ask("/v1/cancel", {"tasks": keys})
        await self._end(keys)

    async def _repeat(self) -> None:
        key = {"Idempotency-Key": secrets.token_hex(8)}
        answers = [await self._ask("/v1/create", {"tasks": [HELLO]}, key) for _ in range(2)]
        assert answers[0][0]["key"] == answers[1][0]["key"]
        await self._end(self._fleet.ledger.acknowledge(answers[0]))

    async def _stall(self) -> None:
        keys = await self._fleet.submit([HELLO] * 50, self._chance)
        connection = ask_and_read_nothing(self._server, keys)
        await self._end(keys)
        await asyncio.sleep(self._chance.uniform(0, 5))
        connection.close()

    async def _ask(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        """The answer of the server that lives, asked again while Valkey is away."""

        async def ask() -> Any:
            api = self._fleet.api(self._server)
            status, answer = await api.post(path, body, **api.headers, **(headers or {}))
            assert status in (200, 503), answer
            return answer if status == 200 else None

        return await until(ask, 60)

    async def _end(self, keys: Sequence[str]) -> None:
        """Wait for tasks to end; the records may go then, and the ledger forgets them."""
        await self._fleet.wait(keys, self._server)
        with suppress(RedisError, OSError):
            assert max(await self._fleet.attempts(keys), default=0) <= ATTEMPTS
        self._fleet.ledger.forget(keys)
        self._ended += len(keys)

    # Faults.

    async def _break(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.5, 1.5) * FAULT_SECONDS)
        fault: Callable[[], Awaitable[None]] = self._chance.choice(
            [self._kill_worker, self._kill_server, self._restart_valkey, self._cut]
        )
        await fault()
        self._faults += 1

    async def _kill_worker(self) -> None:
        await self._fleet.kill(self._fleet.workers[-1])
        await self._fleet.start("worker")

    async def _kill_server(self) -> None:
        await self._fleet.kill(self._fleet.servers[-1])
        await self._fleet.start("serve")

    async def _restart_valkey(self) -> None:
        broker = self._fleet.broker
        await self._chance.choice([broker.stop, broker.kill])()
        await asyncio.sleep(self._chance.uniform(0, 2))
        await broker.start()

    async def _cut(self) -> None:
        self._fleet.proxy.cut()
        await cut_feeds(self._fleet)

    # Figures.

    async def _sample(self, began: float, samples: list[Sample]) -> None:
        await asyncio.sleep(SAMPLE_SECONDS)
        # A Valkey that is just being restarted tells nothing.
        with suppress(RedisError, OSError):
            async with self._fleet.store() as store:
                info: Any = await store.client.info()
            parts: tuple[Part, ...] = self._server, self._worker
            memory = [part.process.memory_info().rss for part in parts]
            descriptors = [part.process.num_fds() for part in parts]
            seconds = time.monotonic() - began
            links = info["connected_clients"]
            samples.append((seconds, *memory, info["used_memory"], *descriptors, links))
            show(seconds, *(f"{size / 1e6:.1f} MB" for size in samples[-1][1:4]), *samples[-1][4:])

    async def _all_is_forgotten(self) -> bool:
        return not await self._fleet.records()


async def repeat(act: Callable[[], Awaitable[None]], end: float) -> None:
    while time.monotonic() < end:
        await act()


def assert_flat(name: str, samples: Sequence[Sample], place: int) -> None:
    """By the line that fits the second half of the run best."""
    half = samples[len(samples) // 2 :]
    seconds = [sample[0] for sample in half]
    sizes = [sample[place] for sample in half]
    grown_bytes = statistics.linear_regression(seconds, sizes).slope * (seconds[-1] - seconds[0])
    words = f"{name} grew by {grown_bytes / 1e6:.1f} MB in the second half"
    print(words)
    assert grown_bytes <= max(SPARE_BYTES, MOST_GROWTH * statistics.mean(sizes)), words


def show(seconds: float, *figures: object) -> None:
    print(*(f"{figure:>11}" for figure in (int(seconds), *figures)), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    asked = parser.parse_args()
    if asked.minutes < 2:
        parser.error("records are kept for 45 seconds, so less than two minutes show only growth")
    print(f"the same faults again: --seed {asked.seed}")
    print(*(f"{column:>11}" for column in COLUMNS))
    origin = Origin()
    await origin.server.start_server()
    try:
        with tempfile.TemporaryDirectory() as directory:
            async with Fleet(Path(directory), 2, 2, **SETTINGS) as fleet:
                soak = Soak(fleet, origin, random.Random(asked.seed))
                await soak.run(asked.minutes * 60)
    finally:
        await origin.server.close()


if __name__ == "__main__":
    asyncio.run(main())
