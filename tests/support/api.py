"""A client of a running Dragon."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy

from tests.support.accounts import SECRET
from tests.support.waiting import DEADLINE_SECONDS


class Answer(NamedTuple):
    """A whole answer, for tests that look at more than its JSON."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """A client of the shared Dragon with acme's secret; other headers replace it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.headers = {"Authorization": f"Secret {SECRET}"}

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a POST; redirects are not followed."""
        async with self.session.post(
            self.url + path, json=body, headers=headers or self.headers, allow_redirects=False
        ) as response:
            return response.status, await response.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.session.get(
            self.url + path, headers=headers or self.headers, allow_redirects=False
        ) as response:
            return response.status, await response.json()

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Any request as it is: it has no credentials but those given, and follows no redirect."""
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, self.url + path, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def create(self, *definitions: dict[str, Any], **headers: str) -> list[str]:
        """The keys of tasks that were taken."""
        status, statuses = await self.post("/v2/create", {"tasks": definitions}, **headers)
        assert status == 200
        return [status["key"] for status in statuses]

    def create_stream(
        self, *definitions: dict[str, Any]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The statuses of new tasks, as a stream."""
        url, body = self.url + "/v1/create_stream", {"tasks": definitions}
        return self.session.post(url, json=body, headers=self.headers)

    async def run(self, **definition: Any) -> dict[str, Any]:
        """The final status of one task."""
        status, [final] = await self.post("/v1/create", {"tasks": [definition], "block": True})
        assert status == 200
        assert isinstance(final, dict)
        return final

    async def made(self, **definition: Any) -> dict[str, Any]:
        """The result of a task that succeeds."""
        final = await self.run(**definition)
        assert final["status"] == "success", final
        return dict(final["result"])


@asynccontextmanager
async def api_of(url: str, *, is_kept_alive: bool = True) -> AsyncIterator[Api]:
    """A client of the server there, with a deadline for each answer."""
    timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    connector = aiohttp.TCPConnector(force_close=not is_kept_alive)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Api(session, url)
