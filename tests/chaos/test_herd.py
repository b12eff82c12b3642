"""Thousands of open streams, some of which nobody reads, through restarts of Valkey."""

import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.chaos.check import check
from tests.chaos.harness import Fleet
from tests.chaos.ledger import finals_of
from tests.chaos.proxy import Proxy
from tests.chaos.test_clients import HELLO
from tests.chaos.test_load import are_dropped, unread
from tests.chaos.test_store_faults import all_are_ready
from tests.support.accounts import SECRET
from tests.support.gate import Gate
from tests.support.processes import Part
from tests.support.waiting import eventually, until

SLOTS = 32
"""Of one worker: so many tasks that wait keep all others waiting."""

SILENT = 10
HALF_OPEN = 0.1
OPENING_AT_ONCE = 100
TRIES_A_SECOND = 10
"""Of one process to connect while Valkey is away, however many streams it has open."""

Stream = tuple[aiohttp.ClientResponse, list[Any]]
"""An answer that goes on, and its first line."""


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """All that the system grants: this process is thousands of clients."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Of connections."""
    with ExitStack() as stack:
        yield stack


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Its servers wait five seconds for a client to take a line."""
    async with Fleet(tmp_path, DRAGON_WRITE_TIMEOUT_SECONDS="5") as fleet:
        yield fleet


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.chaos(ci=1, long=10)
async def test_p15_a_restart_of_valkey_starts_no_herd(
    fleet: Fleet, chance: random.Random, tmp_path: Path, stack: ExitStack, n: int
) -> None:
    count = 500 if n == 1 else 5_000
    listed = await fleet.submit([HELLO] * 2_000)
    await fleet.wait(listed)
    rests: list[dict[Part, int]] = []
    for number in range(n):
        gates = [Gate(tmp_path / f"{number}-{index}") for index in range(SLOTS * 2)]
        await fleet.submit([gate.task() for gate in gates])
        await asyncio.gather(*(gate.runs(1) for gate in gates))
        async with Proxy(fleet.servers[0].url().removeprefix("http://")) as half_open:
            far = await open_streams(fleet, [half_open.address], int(count * HALF_OPEN))
            near = await open_streams(fleet, addresses(fleet), count - len(far))
            silent = [await unread(stack, fleet.servers[0], listed) for _ in range(SILENT)]
            half_open.hold()
            before = memory(fleet)
            await restart(fleet, chance)
            assert_no_larger(memory(fleet), before)
            for gate in gates:
                gate.open()
            await assert_nobody_is_refused(fleet)
            await asyncio.gather(*(read_to_the_end(fleet, stream) for stream in near))
            half_open.cut()
            half_open.heal()
            await asyncio.gather(*(return_and_read(fleet, stream) for stream in far))
        await until(partial(are_dropped, fleet.servers[0], silent), 60)
        stack.close()
        rests.append(memory(fleet))
    assert_no_larger(rests[-1], rests[0])
    await check(fleet, is_exact=True)


def addresses(fleet: Fleet) -> list[str]:
    return [server.url().removeprefix("http://") for server in fleet.servers]


async def open_streams(fleet: Fleet, hosts: list[str], count: int) -> list[Stream]:
    """Each of a task of its own, which no worker can take yet."""
    turns = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(host: str) -> Stream:
        async with turns:
            response = await fleet.session.post(
                f"http://{host}/v1/create_stream",
                json={"tasks": HELLO},
                headers={"Authorization": f"Secret {SECRET}"},
                timeout=aiohttp.ClientTimeout(total=600),
            )
            return response, await anext(fleet.lines(response))

    return await asyncio.gather(*(open_one(hosts[one % len(hosts)]) for one in range(count)))


async def restart(fleet: Fleet, chance: random.Random) -> None:
    """Of Valkey, which all processes must notice, and none may knock at all the time."""
    processes = len(fleet.servers) + len(fleet.workers)
    stop: Callable[[], Awaitable[None]] = chance.choice([fleet.broker.stop, fleet.broker.kill])
    await stop()
    accepted, began = fleet.proxy.accepted, time.monotonic()
    await asyncio.sleep(chance.uniform(1, 4))
    await eventually(lambda: fleet.proxy.accepted >= accepted + processes)
    seconds = time.monotonic() - began
    assert fleet.proxy.accepted - accepted <= processes * TRIES_A_SECOND * (seconds + 1)
    await fleet.broker.start()
    await until(partial(all_are_ready, fleet, 200))


async def assert_nobody_is_refused(fleet: Fleet) -> None:
    """While thousands are told their ends, others are served."""
    for _ in range(20):
        for server in fleet.servers:
            status, answer = await fleet.api(server).post(
                "/v1/create", {"tasks": HELLO, "block": True}
            )
            assert status == 200, answer
            fleet.ledger.acknowledge(answer)


async def read_to_the_end(fleet: Fleet, stream: Stream) -> None:
    response, first = stream
    async with response:
        lines = [first, *[line async for line in fleet.lines(response)]]
    assert finals_of(lines).keys() == {first[0]["key"]}


async def return_and_read(fleet: Fleet, stream: Stream) -> None:
    """The link is dead, and the client, which never knew, asks again."""
    response, first = stream
    response.close()
    key = first[0]["key"]
    assert (await fleet.follow([key], fleet.servers[1])).keys() == {key}


def memory(fleet: Fleet) -> dict[Part, int]:
    """Bytes of each process."""
    return {part: part.process.memory_info().rss for part in (*fleet.servers, *fleet.workers)}


def assert_no_larger(now: dict[Part, int], before: dict[Part, int]) -> None:
    for part, size in now.items():
        assert size <= before[part] * 1.1, f"from {before[part]} to {size} bytes"
