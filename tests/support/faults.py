"""What tests ask of a Dragon whose processes they kill."""

from typing import Any

import aiohttp

from dragon.store.store import Store
from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.processes import Dragon, Part
from tests.support.waiting import until

HEADERS = {"Authorization": f"Secret {SECRET}"}


async def create(client: Api, *definitions: Any) -> list[str]:
    """The keys of tasks that were acknowledged."""
    status, statuses = await client.post("/v1/create", {"tasks": definitions})
    assert status == 200
    return [status["key"] for status in statuses]


async def ends(client: Api, keys: list[str]) -> list[dict[str, Any]]:
    """The final statuses, asked for again and again while a server or Valkey is away."""

    async def ask() -> list[dict[str, Any]] | None:
        try:
            status, statuses = await client.post("/v1/status", {"tasks": keys})
        except aiohttp.ClientError:
            return None
        if status == 503:
            return None
        assert status == 200
        finals = [final for final in statuses if final["status"] in ("success", "error")]
        return finals if len(finals) == len(keys) else None

    finals = await until(ask)
    assert finals is not None
    return finals


async def attempts(own: Dragon, keys: list[str]) -> list[int]:
    async with Store(own.settings()) as store:
        counts: Any = [await store.client.hget(store.keys.job(key), "attempt") for key in keys]
        return [int(count) for count in counts]


async def kill_worker(own: Dragon) -> None:
    """And wait until Valkey knows of it: before, it may send jobs there, which are lost then."""
    worker = own.worker()
    worker.kill()
    async with Store(own.settings()) as store:
        pattern = store.keys.take_channel(f"*-{worker.pid}-*")

        async def is_gone() -> bool:
            client: Any = store.client
            return not await client.pubsub_channels(pattern)

        await until(is_gone)


def second_worker(own: Dragon) -> Part:
    return Part(own.data, "worker", "--redis", own.settings().redis)
