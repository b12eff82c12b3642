"""A Valkey that stands still or is killed."""

import asyncio
import time

from tests.conftest import Api
from tests.faults import HEADERS, create, ends
from tests.gate import Gate
from tests.support import (
    Dragon,
    eventually,
    is_alive,
    read_lines,
    until,
)
from tests.test_faults import refusal


async def test_a_valkey_that_stands_still_is_told_at_once(own: Dragon, client: Api) -> None:
    valkey = own.valkey()
    valkey.suspend()
    try:
        async with asyncio.TaskGroup() as group:
            answers = []
            for _ in range(5):
                answers.append(group.create_task(timed_refusal(client)))
                # The next arrive while the first still wait.
                await asyncio.sleep(0.7)
            ready = group.create_task(client.get("/health/ready"))
        for answer in answers:
            retry_after, took_seconds = answer.result()
            assert int(retry_after) >= 1
            assert took_seconds < 6
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


async def timed_refusal(client: Api) -> tuple[str, float]:
    began = time.monotonic()
    retry_after = await refusal(client)
    assert retry_after is not None
    return retry_after, time.monotonic() - began


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
    async with client.session.post(
        own.url + "/v1/create_stream", json={"tasks": [gate.task()]}, headers=HEADERS
    ) as stream:
        await gate.runs(1)
        killed = own.valkey()
        killed.kill()
        await eventually(lambda: not is_alive(killed))
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"
