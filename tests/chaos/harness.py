"""Servers and workers around a Valkey behind a proxy, and what must hold after any fault."""

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
import msgspec
import psutil

from dragon.schemas import Record, decode_job
from dragon.settings import Settings
from dragon.store.store import Store
from tests.chaos.broker import Broker
from tests.chaos.ledger import FINAL, Ledger, finals_of
from tests.chaos.pace import Pace
from tests.chaos.proxy import Proxy
from tests.support.api import Api
from tests.support.processes import Part, is_alive
from tests.support.waiting import eventually, until

LEASE_SECONDS = 2.0
"""Where workers are lost."""
ATTEMPTS = 3
CONNECTIONS_EACH = 18
"""Of one process to Valkey: the pool, the feed and one being replaced."""
DISK_BYTES = 64 * 1024 * 1024
"""Of the small disk."""
PATIENCE_SECONDS = 30.0
"""With Valkey, and with workers: far more than the machine holds any of them up."""
END_SECONDS = 600.0
"""For what takes the work of many tasks."""
_ANSWER_SECONDS = 300
_KEYS_AT_ONCE = 5_000

Definition = dict[str, Any]


class Fleet:
    """What a chaos test breaks. Everything is a process of its own, and nothing restarts alone."""

    def __init__(self, path: Path, servers: int = 2, workers: int = 2, **environment: str) -> None:
        self.data = path / "data"
        self.ledger = Ledger()
        self.pace = Pace()
        self.servers: list[Part] = []
        self.workers: list[Part] = []
        self.kills_since_start = 0
        """Of workers, whose directories the next one to start will sweep."""
        self._parts: list[Part] = []
        self._wanted = servers, workers
        # One decoder each: many processes start here, on few cores. Where Valkey is not what fails,
        # nobody is refused because the machine held it up; and where no worker is lost, none is
        # believed to be, which would have its jobs run twice.
        names = ("DRAGON_REDIS_TIMEOUT_SECONDS", "DRAGON_LEASE_SECONDS")
        patience = dict.fromkeys(names, f"{PATIENCE_SECONDS}")
        self._environment = {"DRAGON_DECODERS": "1", **patience, **environment}
        self._descriptors: dict[Part, int] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        pace = asyncio.create_task(self.pace.run())
        self._stack.callback(pace.cancel)
        self.broker = await self._stack.enter_async_context(Broker(self.data))
        self.proxy = await self._stack.enter_async_context(Proxy(self.broker.socket))
        self._stack.push_async_callback(self._stop_all)
        servers, workers = self._wanted
        await asyncio.gather(
            *(self.start("serve") for _ in range(servers)),
            *(self.start("worker") for _ in range(workers)),
        )
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        # Each request has a connection of its own: after a kill the old ones are dead.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        self.session = await self._stack.enter_async_context(session)

    # Processes.

    async def start(self, kind: Literal["serve", "worker"], **environment: str) -> Part:
        """Returns when it has started."""
        url = f"redis://{self.proxy.address}"
        arguments = ("--port", "0") if kind == "serve" else ()
        environment = self._environment | environment
        part = Part(self.data, kind, "--redis", url, *arguments, **environment)
        if kind == "worker":
            self.kills_since_start = 0
        try:
            await asyncio.to_thread(part.__enter__)
        finally:
            self._parts.append(part)
        (self.servers if kind == "serve" else self.workers).append(part)
        self._descriptors[part] = part.process.num_fds()
        return part

    async def kill(self, part: Part) -> None:
        """SIGKILL; none of its children may live two seconds later."""
        children = part.process.children(recursive=True)
        part.process.kill()
        self.forget(part)
        await self.within(2, lambda: not any(map(is_alive, [part.process, *children])))

    async def drain(self, part: Part, seconds: float = 15) -> None:
        """SIGTERM; it must leave in time, with 0, and leave no child."""
        children = part.process.children(recursive=True)
        part.process.terminate()
        self.forget(part)
        await self.within(seconds, lambda: not is_alive(part.process))
        assert await asyncio.to_thread(part.process.wait) == 0
        await self.within(2, lambda: not any(map(is_alive, children)))

    async def within(self, seconds: float, condition: Callable[[], object]) -> None:
        """Return as soon as the condition holds, which it must after so many seconds."""
        began = time.time()
        await eventually(condition)
        assert self.pace.seconds(began) <= seconds

    def forget(self, part: Part) -> None:
        """It is expected to live no longer."""
        if part in self.servers:
            self.servers.remove(part)
            return
        self.workers.remove(part)
        self.kills_since_start += 1

    async def replace_lost_workers(self) -> None:
        """What a supervisor does, until it is cancelled."""
        while True:
            for worker in [worker for worker in self.workers if not is_alive(worker.process)]:
                self.forget(worker)
            if len(self.workers) < self._wanted[1]:
                # Poison may kill it before it could tell that it has started.
                with suppress(AssertionError):
                    await self.start("worker")
            await asyncio.sleep(0.05)

    # What clients do.

    def api(self, server: Part | None = None) -> Api:
        return Api(self.session, (server or self.servers[0]).url())

    async def submit(
        self, definitions: Sequence[Definition], chance: random.Random | None = None
    ) -> list[str]:
        """The keys of acknowledged jobs: asks again, as clients may, until a server says yes."""
        repeat = {"Authorization": "Secret acme-secret", "Idempotency-Key": secrets.token_hex(8)}

        async def ask() -> list[str] | None:
            server = (chance or random.Random()).choice(self.servers)
            with suppress(aiohttp.ClientError, TimeoutError):
                status, answer = await self.api(server).post(
                    "/v1/create", {"tasks": list(definitions)}, **repeat
                )
                if status == 503:
                    return None
                assert status == 200, answer
                return self.ledger.acknowledge(answer)
            return None

        keys = await until(ask, END_SECONDS)
        assert keys is not None
        return keys

    async def wait(self, keys: Sequence[str], server: Part | None = None) -> list[Any]:
        """The final statuses, asked for again and again while a server or Valkey is away."""
        finals = [
            final
            for start in range(0, len(keys), _KEYS_AT_ONCE)
            for final in await self._wait(keys[start : start + _KEYS_AT_ONCE], server)
        ]
        for final in finals:
            self.ledger.tell(final)
        return finals

    async def _wait(self, keys: Sequence[str], server: Part | None) -> list[Any]:
        async def ask() -> list[Any] | None:
            with suppress(aiohttp.ClientError, TimeoutError):
                api = self.api(server)
                status, answer = await api.post("/v1/status", {"tasks": list(keys)})
                assert status in (200, 503), answer
                if status == 200 and all(one["status"] in FINAL for one in answer):
                    assert isinstance(answer, list)
                    return answer
                await asyncio.sleep(0.1)
            return None

        finals = await until(ask, END_SECONDS)
        assert finals is not None
        return finals

    @asynccontextmanager
    async def stream(
        self, definitions: Sequence[Definition], server: Part | None = None
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """The lines of a create_stream: the first a list, then one for each change."""
        api = self.api(server)
        async with self.session.post(
            api.url + "/v1/create_stream", json={"tasks": list(definitions)}, headers=api.headers
        ) as response:
            assert response.status == 200
            yield self.lines(response)

    async def follow(self, keys: Sequence[str], server: Part | None = None) -> dict[str, Any]:
        """The final statuses as a stream of its own tells them, which tells each only once."""
        api = self.api(server)
        async with self.session.post(
            api.url + "/v1/status_stream", json={"tasks": list(keys)}
        ) as response:
            assert response.status == 200
            return finals_of([line async for line in self.lines(response)])

    async def lines(self, response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
        """Those of a stream; what was acknowledged and what has ended is noted."""
        async for line in response.content:
            assert line.endswith(b"\n")
            told = json.loads(line)
            if isinstance(told, list):
                self.ledger.acknowledge(told)
            elif told["status"] in FINAL and "key" in told:
                self.ledger.tell(told)
            yield told

    # Looks past the API.

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        # The test is held up by the machine as all others are.
        settings = Settings(
            redis=self.broker.url, data=str(self.data), redis_timeout_seconds=PATIENCE_SECONDS
        )
        async with Store(settings) as store:
            yield store

    async def records(self) -> list[Record]:
        """Of every task there is, acknowledged or not; deliveries of web hooks are left out."""
        async with self.store() as store:
            name = store.keys.base(0) + "job:"
            names = [key async for key in store.client.scan_iter(name + "*", count=10_000)]
            keys = [key.decode().removeprefix(name) for key in names]
            found = [
                record
                for start in range(0, len(keys), _KEYS_AT_ONCE)
                for record in await store.read(keys[start : start + _KEYS_AT_ONCE])
            ]
        return [record for record in found if record and record.job.kind != "hook"]

    async def params(self) -> dict[str, msgspec.Raw]:
        """What every task was asked for, by its key."""
        keys = [record.update.key for record in await self.records()]
        async with self.store() as store:
            blobs = [
                blob
                for start in range(0, len(keys), _KEYS_AT_ONCE)
                for blob in await store.read_jobs(keys[start : start + _KEYS_AT_ONCE])
            ]
        return {job.key: job.params for job in map(decode_job, filter(None, blobs))}

    async def attempts(self, keys: Sequence[str]) -> list[int]:
        async with self.store() as store:
            counts: Any = [await store.client.hget(store.keys.job(key), "attempt") for key in keys]
        return [int(count) for count in counts]

    def baseline(self, part: Part) -> int:
        """How many descriptors it had when it started."""
        return self._descriptors[part]

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.data.glob("*.log"))

    def events(self, name: str) -> list[dict[str, Any]]:
        """What all processes that there ever were logged under names that end so."""
        return [event for part in self._parts for event in part.events(name)]

    def decoders(self) -> list[psutil.Process]:
        return [child for worker in self.workers for child in worker.process.children()]

    async def _stop_all(self) -> None:
        self.proxy.heal()
        stops = [asyncio.to_thread(part.__exit__, None, None, None) for part in self._parts]
        await asyncio.gather(*stops)
