"""Workers and servers that are killed, stopped or told to leave."""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.check import check
from tests.chaos.harness import ATTEMPTS, LEASE_SECONDS, Definition, Fleet
from tests.chaos.ledger import FINAL, finals_of
from tests.support.gate import Gate
from tests.support.processes import START_SECONDS, Part, is_alive
from tests.support.waiting import eventually, until

GIVEN_UP = ("lease_lost", "job_ran")
"""What a worker logs of a job that it knows to be over."""


def mixed(chance: random.Random, count: int) -> list[Definition]:
    """Short tasks of several kinds."""
    choices: list[Definition] = [
        {"task_name": "hello", "name": "you"},
        {"task_name": "site.write", "text": "word ", "steps": chance.randint(1, 20)},
        {"task_name": "site.steps", "steps": chance.randint(1, 3)},
        {"task_name": "site.fail"},
    ]
    return chance.choices(choices, k=count)


def held_by(worker: Part) -> dict[str, int]:
    """The keys of jobs that a worker has started and not ended, and which attempt it is."""
    started = {event["key"]: event["attempt"] for event in worker.events("job_started")}
    ended = {event["key"] for event in worker.events("job_ran")}
    return {key: attempt for key, attempt in started.items() if key not in ended}


@pytest.mark.chaos(ci=10, long=300)
async def test_p01_acknowledged_tasks_survive_killed_workers(
    short_leased: Fleet, chance: random.Random, n: int
) -> None:
    fleet = short_leased
    killed_at: dict[str, dict[int, float]] = {}
    for _ in range(n):
        await fleet.submit(mixed(chance, 12), chance)
        await asyncio.sleep(chance.uniform(0, 0.4))
        # One that has nothing to lose proves nothing.
        worker = chance.choice([one for one in fleet.workers if held_by(one)] or fleet.workers)
        await fleet.kill(worker)
        for key, attempt in held_by(worker).items():
            killed_at.setdefault(key, {})[attempt] = time.time()
        await fleet.start("worker")
    await check(fleet, is_exact=True)
    assert killed_at
    assert_restarted_in_time(fleet, killed_at)


def assert_restarted_in_time(fleet: Fleet, killed_at: dict[str, dict[int, float]]) -> None:
    """Each attempt after one that was killed.

    Valkey counts an attempt as it hands out the job: one that no log knows of went to a worker
    that was killed before it had read so.
    """
    started = {
        (event["key"], event["attempt"]): datetime.fromisoformat(event["timestamp"]).timestamp()
        for event in fleet.events("job_started")
    }
    for key, moments in killed_at.items():
        for attempt, killed in moments.items():
            if again := started.get((key, attempt + 1)):
                assert fleet.pace.seconds(killed, again) <= LEASE_SECONDS + 5
        if is_lost(fleet.ledger.ends[key]) and not was_held_up(fleet, key):
            assert {attempt for one, attempt in started if one == key} == moments.keys()


def is_lost(final: Any) -> bool:
    """Each of as many attempts as there may be has cost a worker, or one of its children's has."""
    words = f"the worker was lost while it ran the task, {ATTEMPTS} times"
    return words in str(final.get("result"))


def was_held_up(fleet: Fleet, key: str) -> bool:
    """A worker that was believed lost came back to the job: the machine had held it up."""
    return key in {event["key"] for name in GIVEN_UP for event in fleet.events(name)}


@pytest.mark.chaos(ci=8, long=200)
async def test_p02_acknowledged_tasks_survive_killed_servers(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for _ in range(n):
        victim, other = chance.sample(fleet.servers, 2)
        keys = await start_streams(fleet, victim, chance)
        assert len(keys) == 30
        finals = await fleet.wait(keys, other)
        assert {final["status"] for final in finals} <= set(FINAL)
        assert await fleet.follow(keys, other) == {final["key"]: final for final in finals}
        await fleet.start("serve")
    await check(fleet, is_exact=True)


async def start_streams(fleet: Fleet, victim: Part, chance: random.Random) -> list[str]:
    """The acknowledged keys of three streams of a server that is killed meanwhile."""
    before = set(fleet.ledger.keys)
    acknowledged = asyncio.Barrier(4)

    async def read(definitions: list[Definition]) -> None:
        try:
            async with fleet.stream(definitions, victim) as lines:
                await anext(lines)
                await acknowledged.wait()
                _ = [line async for line in lines]
        except OSError:
            pass
        except Exception as error:
            # The HTTP client's words for a stream that broke off.
            assert "payload" in str(error).lower() or "disconnected" in str(error).lower()  # noqa: PT017

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(read(mixed(chance, 10)))
        await acknowledged.wait()
        await asyncio.sleep(chance.uniform(0, 0.3))
        await fleet.kill(victim)
    return [key for key in fleet.ledger.keys if key not in before]


@pytest.mark.chaos(ci=20, long=200)
async def test_p06_each_waiter_is_told_one_end_though_two_workers_run_the_job(
    short_leased: Fleet, chance: random.Random, tmp_path: Path, n: int
) -> None:
    fleet = short_leased
    gates = [Gate(tmp_path / f"gate{number}") for number in range(n)]
    keys = await fleet.submit([gate.task("site.gated_file") for gate in gates])
    async with asyncio.TaskGroup() as group:
        waiters = [
            group.create_task(fleet.follow(keys, fleet.servers[number % 2])) for number in range(3)
        ]
        await asyncio.gather(*(gate.has_seen(1) for gate in gates))
        again = [number for number in range(n) if chance.random() < 0.7]
        await until(partial(all_are_taken_away, fleet, [keys[number] for number in again]))
        await asyncio.gather(*(gates[number].has_seen(2) for number in again))
        for gate in chance.sample(gates, n):
            gate.open()
            await asyncio.sleep(chance.uniform(0, 0.05))
    told = [waiter.result() for waiter in waiters]
    assert told[0] == told[1] == told[2]
    assert told[0].keys() == set(keys)
    await check(fleet, is_exact=True)


async def all_are_taken_away(fleet: Fleet, keys: Sequence[str]) -> bool:
    """Have the leases run out now, also what is left to silent workers, while the work goes on.

    A worker may be faster, and renew some: those are left for another try.
    """
    attempts = await fleet.attempts(keys)
    left = [key for key, attempt in zip(keys, attempts, strict=True) if attempt == 1]
    async with fleet.store() as store:
        for key in left:
            if token := await store.client.hget(store.keys.job(key), "token"):
                await store.client.hset(store.keys.job(key), "silent", token)
            await store.client.zadd(store.keys.base(0) + "leases", {key: 1}, xx=True)
        await store.reap(0)
    return not left


@pytest.mark.chaos(ci=2, long=100)
async def test_p07_a_worker_that_wakes_up_late_changes_nothing(
    short_leased: Fleet, chance: random.Random, tmp_path: Path, n: int
) -> None:
    fleet = short_leased
    for number in range(n):
        gates = [Gate(tmp_path / f"gate{number}-{index}") for index in range(10)]
        keys = await fleet.submit([gate.task("site.gated_file") for gate in gates])
        await asyncio.gather(*(gate.has_seen(1) for gate in gates))
        late = chance.choice([worker for worker in fleet.workers if held_by(worker)])
        late.process.suspend()
        held = set(held_by(late))
        reruns = [gate for gate, key in zip(gates, keys, strict=True) if key in held]
        await asyncio.gather(*(gate.has_seen(2) for gate in reruns))
        for gate in gates:
            gate.open()
        finals = await fleet.wait(keys)
        late.process.resume()
        await eventually(partial(has_given_up, late, held))
        for final, attempts in zip(finals, await fleet.attempts(keys), strict=True):
            async with fleet.session.get(final["result"]["output"]) as response:
                text = await response.text()
            assert text == text[0] * 100_000
            # The late one was the first.
            assert int(final["key"] in held) <= int(text[0]) < attempts
    await check(fleet, is_exact=True)


def has_given_up(worker: Part, keys: set[str]) -> bool:
    """Whether a worker knows these jobs to be over."""
    return keys <= {event["key"] for name in GIVEN_UP for event in worker.events(name)}


@pytest.mark.chaos(ci=1, long=5)
async def test_p08_poison_ends_as_an_error_and_all_else_succeeds(
    short_leased: Fleet, chance: random.Random, n: int
) -> None:
    fleet = short_leased
    for _ in range(n):
        poison = 5 * [{"task_name": "site.kill_worker"}] + 5 * [{"task_name": "site.crash"}]
        good: Definition = {"task_name": "site.write", "text": "good ", "steps": 5}
        tasks: list[Definition] = chance.sample([*poison, *(50 * [good])], 60)
        supervisor = asyncio.create_task(fleet.replace_lost_workers())
        keys = await fleet.submit(tasks)
        finals = await fleet.wait(keys)
        await eventually(partial(has_two_workers, fleet), 2 * START_SECONDS)
        supervisor.cancel()
        await asyncio.wait([supervisor])
        assert supervisor.cancelled()
        statuses = [
            (task["task_name"], final["status"])
            for task, final in zip(tasks, finals, strict=True)
            if not (is_lost(final) and was_held_up(fleet, final["key"]))
        ]
        assert {name for name, status in statuses if status == "error"} == {
            "site.kill_worker",
            "site.crash",
        }
        assert {name for name, status in statuses if status == "success"} == {"site.write"}
    await check(fleet, is_exact=True)


def has_two_workers(fleet: Fleet) -> bool:
    return len(fleet.workers) == 2 and all(is_alive(worker.process) for worker in fleet.workers)


@pytest.mark.chaos(ci=6, long=100)
async def test_p18_who_is_told_to_leave_drains(fleet: Fleet, chance: random.Random, n: int) -> None:
    for _ in range(n):
        before = len(fleet.ledger.keys)
        kind, parts = chance.choice([("serve", fleet.servers), ("worker", fleet.workers)])
        leaving = chance.choice(parts)
        server = leaving if kind == "serve" else fleet.servers[0]
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(read_stream(fleet, mixed(chance, 40), server))
            await eventually(partial(has_acknowledged, fleet, before + 1))
            await asyncio.sleep(chance.uniform(0, 0.5))
            await fleet.drain(leaving)
        assert_ended_well(stream.result())
        await fleet.start("serve" if kind == "serve" else "worker")
    await check(fleet, is_exact=True)
    assert set(await fleet.attempts(fleet.ledger.keys)) == {1}


def has_acknowledged(fleet: Fleet, count: int) -> bool:
    return len(fleet.ledger.keys) >= count


async def read_stream(fleet: Fleet, definitions: list[Definition], server: Part) -> list[Any]:
    async with fleet.stream(definitions, server) as lines:
        return [line async for line in lines]


def assert_ended_well(lines: list[Any]) -> None:
    """With all ends, or with a line that says to ask again."""
    if "key" not in lines[-1]:
        assert re.search("restarting, ask again", lines[-1]["message"])
        return
    assert finals_of(lines).keys() == {status["key"] for status in lines[0]}
