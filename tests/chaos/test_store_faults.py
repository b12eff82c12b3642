"""A Valkey that is killed, stands still, or is behind a link that fails."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos.check import check
from tests.chaos.harness import END_SECONDS, LEASE_SECONDS, Fleet
from tests.chaos.ledger import finals_of
from tests.chaos.test_crashes import has_acknowledged, read_stream
from tests.support.gate import Gate
from tests.support.processes import is_alive
from tests.support.waiting import eventually, until

SUBMITS = 1000
NOTICE_SECONDS = 15
RANK = {"queued": 0, "executing": 1, "success": 2, "error": 2}


@pytest_asyncio.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[Fleet]:
    """It gives Valkey as long to answer as it does by itself; leases run out while it is away."""
    lease = f"{LEASE_SECONDS}"
    async with Fleet(
        tmp_path, DRAGON_REDIS_TIMEOUT_SECONDS="4", DRAGON_LEASE_SECONDS=lease
    ) as fleet:
        yield fleet


@pytest.mark.chaos(ci=2, long=20)
async def test_p03_nothing_is_acknowledged_before_it_is_written(
    impatient: Fleet, chance: random.Random, n: int
) -> None:
    fleet = impatient
    for _ in range(n):
        before = len(fleet.ledger.keys)
        is_killed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(submit_until_refused(fleet, chance, is_killed))
            wanted = before + chance.randint(200, SUBMITS)
            await eventually(partial(has_acknowledged, fleet, wanted), END_SECONDS)
            await fleet.broker.kill()
            is_killed.set()
        await fleet.broker.start()
        async with fleet.store() as store:
            found = await store.read(fleet.ledger.keys)
        assert all(found)
    await check(fleet)


async def submit_until_refused(
    fleet: Fleet, chance: random.Random, is_killed: asyncio.Event
) -> None:
    """A refusal before that is one of a machine that was held up."""
    api = fleet.api(chance.choice(fleet.servers))
    status = 200
    while status == 200 or not is_killed.is_set():
        tasks = chance.randint(1, 5) * [{"task_name": "hello", "name": "you"}]
        status, answer = await api.post("/v1/create", {"tasks": tasks})
        assert status in (200, 503)
        if status == 200:
            fleet.ledger.acknowledge(answer)


@pytest.mark.chaos(ci=2, long=20)
async def test_p11_statuses_come_in_order_though_the_feed_is_cut(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for _ in range(n):
        tasks = [{"task_name": "site.steps", "steps": 20} for _ in range(50)]
        async with asyncio.TaskGroup() as group:
            streams = [
                group.create_task(read_stream(fleet, tasks, server)) for server in fleet.servers
            ]
            for _ in range(5):
                await asyncio.sleep(chance.uniform(0, 0.5))
                await cut_feeds(fleet)
        for stream in streams:
            assert_in_order(stream.result())
    await check(fleet, is_exact=True)


async def cut_feeds(fleet: Fleet) -> None:
    async with fleet.store() as store:
        client: Any = store.client
        await client.client_kill_filter(_type="pubsub")


def assert_in_order(lines: list[Any]) -> None:
    first, *rest = lines
    assert finals_of(lines).keys() == {status["key"] for status in first}
    for key in {status["key"] for status in first}:
        told = [line for line in rest if line["key"] == key]
        ranks = [RANK[line["status"]] for line in told]
        steps = [line["progress"] for line in told if "progress" in line]
        assert ranks == sorted(ranks)
        assert steps == sorted(set(steps))


@pytest.mark.chaos(ci=1, long=25)
@pytest.mark.parametrize("fault", ["swallow", "hold"])
async def test_p12_a_link_that_is_half_open_is_noticed(
    impatient: Fleet, chance: random.Random, tmp_path: Path, n: int, fault: str
) -> None:
    fleet = impatient
    for number in range(n):
        gates = [Gate(tmp_path / f"{number}-{index}") for index in range(10)]
        async with asyncio.TaskGroup() as group:
            halves = [gate.task() for gate in gates[::2]], [gate.task() for gate in gates[1::2]]
            streams = [
                group.create_task(read_stream(fleet, tasks, server))
                for tasks, server in zip(halves, fleet.servers, strict=True)
            ]
            await asyncio.gather(*(gate.has_seen(1) for gate in gates))
            fleet.proxy.swallow() if fault == "swallow" else fleet.proxy.hold()
            began = time.time()
            await until(lambda: all_are_ready(fleet, 503))
            assert fleet.pace.seconds(began) <= NOTICE_SECONDS
            for gate in gates:
                gate.open()
            await asyncio.sleep(chance.uniform(0, 2))
            fleet.proxy.heal()
            healed_at = time.time()
            await asyncio.wait(streams)
            assert fleet.pace.seconds(healed_at) <= NOTICE_SECONDS
        for stream in streams:
            assert finals_of(stream.result()).keys() == {one["key"] for one in stream.result()[0]}
        await until(lambda: all_are_ready(fleet, 200))
    await check(fleet, is_exact=True)


async def all_are_ready(fleet: Fleet, wanted: int) -> bool:
    answers = await asyncio.gather(
        *(fleet.api(server).get("/health/ready") for server in fleet.servers)
    )
    return all(status == wanted for status, _ in answers)


@pytest.mark.chaos(ci=2, long=30)
async def test_p13_a_valkey_that_stands_still_is_told_in_time(
    impatient: Fleet, chance: random.Random, n: int
) -> None:
    fleet = impatient
    for _ in range(n):
        is_refused, is_over = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(submit_and_time(fleet, chance, is_refused, is_over))
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            fleet.broker.process.suspend()
            is_refused.clear()
            await asyncio.sleep(chance.choice([5, 6, 8] if n < 10 else [5, 20, 60]))
            # A server that was held up says so later.
            await eventually(is_refused.is_set)
            fleet.broker.process.resume()
            is_over.set()
    await check(fleet, is_exact=True)


async def submit_and_time(
    fleet: Fleet, chance: random.Random, is_refused: asyncio.Event, is_over: asyncio.Event
) -> None:
    """Submit again and again, each until it is accepted."""
    while not is_over.is_set():
        key = {"Authorization": "Secret acme-secret", "Idempotency-Key": f"{chance.random()}"}
        while not await is_accepted(fleet, chance, key):
            is_refused.set()


async def is_accepted(fleet: Fleet, chance: random.Random, headers: dict[str, str]) -> bool:
    api = fleet.api(chance.choice(fleet.servers))
    began = time.time()
    body = {"tasks": {"task_name": "hello", "name": "you"}}
    answer = await api.ask("POST", "/v1/create", json=body, headers=headers)
    assert fleet.pace.seconds(began) <= 5
    if answer.status == 503:
        assert int(answer.headers["Retry-After"]) >= 1
        return False
    assert answer.status == 200
    fleet.ledger.acknowledge(answer.json)
    return True


@pytest.mark.chaos(ci=4, long=100)
async def test_p14_restarts_of_valkey_are_survived_by_all_processes(
    impatient: Fleet, chance: random.Random, n: int
) -> None:
    fleet = impatient
    pids = {part.process.pid for part in (*fleet.servers, *fleet.workers)}
    for _ in range(n):
        for _ in range(10):
            tasks = chance.randint(5, 15) * [
                {"task_name": "site.write", "text": "word", "steps": 5}
            ]
            await fleet.submit(tasks, chance)
        stop: Callable[[], Awaitable[None]] = chance.choice([fleet.broker.stop, fleet.broker.kill])
        await stop()
        await asyncio.sleep(chance.uniform(0, 1))
        await fleet.broker.start()
    await check(fleet, is_exact=True)
    parts = [part for part in (*fleet.servers, *fleet.workers) if is_alive(part.process)]
    assert {part.process.pid for part in parts} == pids
