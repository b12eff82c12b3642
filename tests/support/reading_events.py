"""Reads server-sent events as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Self

import aiohttp

from tests.support.api import Api
from tests.support.waiting import DEADLINE_SECONDS

FINAL = ("success", "error")


class Event(NamedTuple):
    """`id` is that of the last event that had one, as a browser would send it back."""

    type: str
    data: Any
    id: str


class Events:
    """An iterator over the events of a stream; empty blocks and comments are noted and left out."""

    def __init__(self, response: aiohttp.ClientResponse, last_id: str = "") -> None:
        self.response = response
        self.last_id = last_id
        self.retry_milliseconds = 0
        self.comments = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            kind, data = await self._read_block()
            if data:
                return Event(kind, json.loads("\n".join(data)), self.last_id)

    async def _read_block(self) -> tuple[str, list[str]]:
        kind, data = "message", []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (line := await self._read_line()) != "":
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif name == "retry":
                    self.retry_milliseconds = int(value)
                elif name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                else:
                    assert name == "data", line
                    data.append(value)
        return kind, data

    async def _read_line(self) -> str:
        line = await self.response.content.readuntil(b"\n")
        if not line:
            raise StopAsyncIteration
        assert line.endswith(b"\n")
        return line.decode().rstrip("\n")


@asynccontextmanager
async def following(
    api: Api, keys: Sequence[str], last_id: str = "", query: str = "", version: str = "v2"
) -> AsyncIterator[Events]:
    """What a browser's EventSource gets for these tasks."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    tasks = "&".join(f"tasks={key}" for key in keys)
    url = f"{api.url}/{version}/status_stream?{tasks}{query}"
    async with api.session.get(url, headers=headers) as response:
        yield Events(response, last_id)


def ends_in(events: Sequence[Event]) -> list[str]:
    """The keys of all final statuses, in their order."""
    told = [event.data for event in events if event.type == "message"]
    statuses = [status for data in told for status in (data if isinstance(data, list) else [data])]
    return [status["key"] for status in statuses if status["status"] in FINAL]
