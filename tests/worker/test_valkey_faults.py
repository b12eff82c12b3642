"""A Valkey that stands still or is killed."""

import asyncio
import time
from typing import Any

import psutil
import pytest
from redis.exceptions import RedisError

from dragon.store.store import Store
from tests.support.api import Api
from tests.support.faults import attempts, create, ends, second_worker
from tests.support.gate import Gate
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import eventually, until
from tests.support.wire import read_lines
from tests.worker.test_faults import refusal

pytestmark = pytest.mark.valkey(8)

LEASE_SECONDS = 10.0
"""Half of it is left to those who hold a task when Valkey is back."""


async def test_a_valkey_that_stands_still_is_told_at_once(own: Dragon, client: Api) -> None:
    valkey = own.valkey()
    valkey.suspend()
    try:
        async with asyncio.TaskGroup() as group:
            answers = []
            # One after the other they would take far longer than the client waits.
            for _ in range(30):
                answers.append(group.create_task(refusal(client)))
                # The next arrive while the first still wait.
                await asyncio.sleep(0.1)
            ready = group.create_task(client.get("/health/ready"))
        for answer in answers:
            assert int(answer.result() or 0) >= 1
        status, health = ready.result()
        assert status == 503
        assert "the store cannot be reached, try again soon" in health["problems"]
    finally:
        valkey.resume()

    async def is_ready() -> bool:
        status, _ = await client.get("/health/ready")
        return status == 200

    assert await until(is_ready)
    assert (await client.run(task_name="hello", name="you"))["result"] == "Hello you"


async def test_a_running_task_outlives_a_valkey_that_stands_still(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await create(client, gate.task())
    await gate.runs(1)
    valkey = own.valkey()
    valkey.suspend()
    gate.open()
    await eventually(lambda: own.events("write_waits_for_store") or own.events("renew_failed"))
    valkey.resume()
    [final] = await ends(client, [key])
    assert final["status"] == "success"


@pytest.mark.lease(LEASE_SECONDS)
@pytest.mark.parametrize("fault", ["suspend", "kill"])
async def test_tasks_that_run_while_valkey_is_away_for_longer_than_their_lease_run_once(
    own: Dragon, client: Api, gate: Gate, fault: str
) -> None:
    keys = await create(client, *[gate.task()] * 20)
    await gate.runs(20)
    with second_worker(own) as other:
        valkey = own.valkey()
        # While the supervisor stands still, it starts no other Valkey.
        supervisor = psutil.Process(own.process.pid)
        supervisor.suspend()
        valkey.suspend() if fault == "suspend" else valkey.kill()
        gone_at = time.monotonic()
        await eventually(lambda: own.events("renew_failed"))
        await eventually(lambda: time.monotonic() - gone_at > LEASE_SECONDS)
        valkey.resume() if fault == "suspend" else None
        supervisor.resume()
        assert await until(lambda: are_held(own, keys))
        assert not other.events("job_started")
    gate.open()
    finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    assert await attempts(own, keys) == 20 * [1]
    await gate.runs(20)


async def are_held(own: Dragon, keys: list[str]) -> bool:
    """Whether nobody waits for the leases of these tasks to run out, as they did before."""
    async with Store(own.settings()) as store:
        client: Any = store.client
        try:
            due = await client.zcount(store.keys.base(0) + "leases", "-inf", time.time() * 1000)
            silent = [await client.hexists(store.keys.job(key), "silent") for key in keys]
        except RedisError:
            return False
    return not due and not any(silent)


async def test_a_killed_valkey_forgets_nothing_that_was_acknowledged(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), *200 * [{"task_name": "site.steps", "steps": 2}])
    await gate.runs(1)
    killed = own.valkey()
    killed.kill()
    await eventually(lambda: not is_alive(killed))
    gate.open()
    finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    assert own.valkey().pid != killed.pid


async def test_a_stream_goes_on_when_valkey_was_killed(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.create_stream(gate.task()) as stream:
        await gate.runs(1)
        killed = own.valkey()
        killed.kill()
        await eventually(lambda: not is_alive(killed))
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"
