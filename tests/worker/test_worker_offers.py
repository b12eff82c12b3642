"""Workers that offer their slots, and die, stand still, lose their connection or leave."""

import asyncio
from typing import Any

import psutil
import pytest

from dragon.store.store import Store
from tests.support.api import Api
from tests.support.faults import attempts, create, ends, second_worker
from tests.support.gate import Gate
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import eventually, until

HELLO = {"task_name": "hello", "name": "you"}


async def count_takers(own: Dragon) -> int:
    """How many workers offer fast slots."""
    async with Store(own.settings()) as store:
        client: Any = store.client
        return int(await client.zcard(store.keys.base(0) + "takers:fast"))


async def offers(own: Dragon, count: int) -> None:
    async def are_there() -> bool:
        return await count_takers(own) == count

    await until(are_there)


async def test_tasks_sent_to_a_worker_that_stands_still_end_on_another(
    own: Dragon, client: Api, gate: Gate
) -> None:
    with second_worker(own) as other:
        await offers(own, 2)
        [gated] = await create(client, gate.task())
        await eventually(lambda: own.events("job_started") or other.events("job_started"))
        # The one that is idle has the most room, so the next task is sent there.
        idle = own.worker() if other.events("job_started") else other.process
        idle.suspend()
        try:
            keys = [key for _ in range(20) for key in await create(client, HELLO)]
            finals = await ends(client, keys)
        finally:
            idle.resume()
        assert {final["status"] for final in finals} == {"success"}
        assert set(await attempts(own, keys)) == {1, 2}
        gate.open()
        assert [final["status"] for final in await ends(client, [gated])] == ["success"]
        assert await attempts(own, [gated]) == [1]


async def test_tasks_that_are_created_while_a_worker_dies_end_on_another(
    own: Dragon, client: Api
) -> None:
    with second_worker(own):
        await offers(own, 2)
        supervisor = psutil.Process(own.process.pid)
        killed = own.worker()
        supervisor.suspend()
        try:
            keys = await create(client, HELLO)
            killed.kill()
            keys += [key for _ in range(20) for key in await create(client, HELLO)]
            finals = await ends(client, keys)
        finally:
            supervisor.resume()
    assert {final["status"] for final in finals} == {"success"}


async def test_tasks_end_though_the_connection_they_are_sent_over_is_cut(
    own: Dragon, client: Api
) -> None:
    keys: list[str] = []
    async with Store(own.settings()) as store:
        admin: Any = store.client
        for _ in range(20):
            keys += await create(client, HELLO, HELLO)
            await admin.client_kill_filter(_type="pubsub")
    assert {final["status"] for final in await ends(client, keys)} == {"success"}
    await offers(own, 1)
    assert (await client.run(**HELLO))["status"] == "success"


@pytest.mark.lease(20)
async def test_a_worker_that_leaves_loses_nothing_that_is_on_its_way(
    own: Dragon, client: Api
) -> None:
    with second_worker(own):
        await offers(own, 2)
        leaving = own.worker()
        keys = await create(client, HELLO)
        leaving.terminate()
        while is_alive(leaving):
            keys += await create(client, HELLO, HELLO)
            await asyncio.sleep(0)
        finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    # A job that was lost would have been begun a second time, after its lease.
    assert await attempts(own, keys) == len(keys) * [1]
    assert not own.events("withdraw_failed")
