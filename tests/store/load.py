"""Requests that come one after the other while a Valkey dies, and what became of each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.api import Api
from tests.support.faults import HEADERS
from tests.support.waiting import until

TASKS = [{"task_name": "hello", "name": "you"}, {"task_name": "site.steps", "steps": 2}]


class Load:
    """`acknowledged`: keys, by when; `refused_at`: when each other request was answered.

    One that is not answered in time raises what the client does.
    """

    def __init__(self, client: Api) -> None:
        self.acknowledged: dict[str, float] = {}
        self.refused_at: list[float] = []
        self._client = client

    @property
    def acknowledged_at(self) -> float:
        """When the last was accepted."""
        return max(self.acknowledged.values(), default=0.0)

    async def until_acknowledged(self, count: int) -> None:
        wanted = len(self.acknowledged) + count

        async def are_there() -> bool:
            return len(self.acknowledged) >= wanted

        await until(are_there)

    async def until_refused(self) -> None:
        async def is_refused() -> bool:
            return bool(self.refused_at)

        await until(is_refused)

    async def run(self) -> None:
        while True:
            status, answer = await self._client.post("/v1/create", {"tasks": TASKS}, **HEADERS)
            now = time.monotonic()
            if status == 200:
                self.acknowledged.update((one["key"], now) for one in answer)
            else:
                assert status == 503, answer
                self.refused_at.append(now)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def under_load(client: Api) -> AsyncIterator[Load]:
    load = Load(client)
    runs = [asyncio.create_task(load.run()) for _ in range(2)]
    try:
        await load.until_acknowledged(20)
        yield load
        assert [run.exception() for run in runs if run.done()] == []
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
