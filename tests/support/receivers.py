"""A receiver of web hooks: what it got, and how it answers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook

from tests.support.accounts import WEBHOOK_SECRETS
from tests.support.fetching import Handler, serving
from tests.support.waiting import eventually


class Hit(Struct, frozen=True):
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Answers 204 unless there is something in `answers`, which are used up in turn."""

    def __init__(self) -> None:
        self.url = ""
        self.hits: list[Hit] = []
        self.answers: deque[Handler | int] = deque()
        self.is_open = asyncio.Event()
        """Before it is set, `hold` does not answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert (request.method, request.path) == ("POST", "/hook")
        self.hits.append(Hit(headers, await request.read()))
        answer = self.answers.popleft() if self.answers else 204
        return web.Response(status=answer) if isinstance(answer, int) else await answer(request)

    async def hold(self, _: web.Request) -> web.Response:
        await self.is_open.wait()
        return web.Response(status=204)

    async def busy(self, _: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "3600"})

    async def reset(self, request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response(status=204)

    async def got(self, count: int) -> list[Hit]:
        """The first so many requests, once they have come."""
        await eventually(lambda: len(self.hits) >= count)
        return self.hits[:count]

    def verified(self) -> list[Any]:
        """What was sent; each request must bear signatures by all of acme's secrets."""
        for secret in WEBHOOK_SECRETS:
            told = [Webhook(secret).verify(hit.body, hit.headers) for hit in self.hits]
        return told


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with serving(receiver.answer) as url:
        receiver.url = url + "/hook"
        yield receiver
