"""Web hooks are told though workers, servers and Valkey die in mid-delivery."""

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.api import Api
from tests.support.faults import kill_worker
from tests.support.gate import Gate
from tests.support.hooking import created, hello, outcomes, settled
from tests.support.processes import Dragon, is_alive
from tests.support.receivers import Hit, Receiver
from tests.support.waiting import eventually, until


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """One that the tests break in turn; it recovers each time."""
    with Dragon(tmp_path_factory.mktemp("own")) as own:
        yield own


async def test_a_worker_killed_in_mid_delivery_costs_a_repetition(
    own: Dragon, client: Api, receiver: Receiver
) -> None:
    key, [first, second] = await told_twice(client, receiver, lambda: kill_worker(own))
    assert first.id == second.id
    assert first.body == second.body
    assert outcomes(await settled(client, key)) == ["the worker was lost", 204]
    receiver.verified()


async def test_a_worker_that_drains_hands_the_delivery_back(
    own: Dragon, client: Api, receiver: Receiver
) -> None:
    async def drain() -> None:
        worker = own.worker()
        worker.terminate()
        await eventually(lambda: not is_alive(worker))

    key, [first, second] = await told_twice(client, receiver, drain)
    assert first.id == second.id
    assert outcomes(await settled(client, key)) == [204]


async def test_a_server_that_is_killed_is_not_needed(
    own: Dragon, client: Api, receiver: Receiver, gate: Gate
) -> None:
    [key] = await created(client, gate.task() | {"url_callback": receiver.url})
    await gate.runs(1)
    own.server().kill()
    gate.open()
    [hit] = await receiver.got(1)
    assert json.loads(hit.body)["status"] == "success"
    await is_ready(client)
    assert outcomes(await settled(client, key)) == [204]


async def test_a_valkey_that_is_killed_costs_a_repetition_at_most(
    own: Dragon, client: Api, receiver: Receiver
) -> None:
    async def kill_valkey() -> None:
        own.valkey().kill()
        receiver.is_open.set()

    receiver.answers.extend([receiver.hold] * 2)
    keys = await created(client, hello(receiver), hello(receiver))
    await receiver.got(2)
    await kill_valkey()
    await is_ready(client)
    for key in keys:
        assert outcomes(await settled(client, key))[-1] == 204
        assert 1 <= sum(json.loads(hit.body)["key"] == key for hit in receiver.hits) <= 2
    assert len({hit.id for hit in receiver.hits}) == 2


async def told_twice(client: Api, receiver: Receiver, fault: Any) -> tuple[str, list[Hit]]:
    """A task's key and the two requests that tell its end, as the first one meets a fault."""
    receiver.answers.append(receiver.hold)
    [key] = await created(client, hello(receiver))
    await receiver.got(1)
    await fault()
    return key, await receiver.got(2)


async def is_ready(client: Api) -> None:
    async def ask() -> bool:
        try:
            return (await client.ask("GET", "/health/ready")).status == 200
        except aiohttp.ClientError:
            return False

    await until(ask)
