"""Streams that are silent for long: empty lines, or comments, for those who ask."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from dragon.http.streams.heartbeats import Heartbeats
from dragon.http.streams.streams import Streams
from dragon.schemas import Claim
from tests.streams.test_slow_readers import LONG, STEPS, Site, all_told, line, read_chunk, read_head
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.gate import Gate
from tests.support.reading_events import Events, following
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.watchers import Process, finish, tell_progress

HELLO = {"task_name": "hello", "name": "John"}

Beating = tuple[Site, asyncio.StreamReader, asyncio.StreamReader]
"""The site of the first stream, and the readers of both."""


@asynccontextmanager
async def streaming(api: Api, key: str, query: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    async with api.session.get(f"{api.url}/v2/stream?tasks={key}{query}") as response:
        assert response.status == 200
        yield response


async def next_line(response: aiohttp.ClientResponse) -> bytes:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await response.content.readline()


async def test_whoever_asks_gets_an_empty_line_each_time_and_no_other_does(
    api: Api, gate: Gate
) -> None:
    [key] = await api.create(gate.task())
    async with (
        streaming(api, key, "&heartbeat=1") as beating,
        streaming(api, key) as silent,
        following(api, [key], query="&heartbeat=1") as events,
    ):
        lines = [await next_line(beating)]
        while lines.count(b"\n") < 2:
            lines.append(await next_line(beating))
        reading = asyncio.create_task(kinds(events))
        await eventually(lambda: events.comments)
        gate.open()
        assert b"\n" not in (await silent.content.read()).splitlines(keepends=True)
        while rest := await next_line(beating):
            lines.append(rest)
        assert (await reading)[-1] == "end"
    statuses = [json.loads(line) for line in lines if line != b"\n"]
    assert statuses[-1]["result"] == "open"


async def kinds(events: Events) -> list[str]:
    return [event.type async for event in events]


@pytest.mark.parametrize("seconds", ["0", "301", "-1", "1.5", "", "x", "²", "9" * 5000])
async def test_other_heartbeats_are_refused_before_anything_is_queued(
    api: Api, broker: Broker, seconds: str
) -> None:
    before = await broker.count_jobs()
    query = {"heartbeat": seconds}
    words = "heartbeat must be a whole number of seconds from 1 to 300"
    problem = {"name": "heartbeat", "location": "query", "description": words}
    created = await api.ask(
        "POST",
        "/v2/create_stream",
        params=query,
        json={"tasks": HELLO},
        headers=api.headers | {"Accept": "text/event-stream"},
    )
    read = await api.ask("GET", "/v2/stream", params=query)
    missing = {"name": "tasks", "location": "query", "description": "tasks is missing"}
    assert (created.status, created.json["errors"]) == (400, [problem])
    assert (read.status, read.json["errors"]) == (400, [missing, problem])
    assert await broker.count_jobs() == before


async def test_a_request_that_creates_may_ask_for_them(api: Api, gate: Gate) -> None:
    async with api.session.post(
        f"{api.url}/v2/create_stream?heartbeat=1", json={"tasks": gate.task()}, headers=api.headers
    ) as response:
        while await next_line(response) != b"\n":
            pass
        gate.open()
        *_, last = (await response.content.read()).splitlines()
        assert json.loads(last)["result"] == "open"


@asynccontextmanager
async def both_beating(process: Process, held: Claim, other: Claim) -> AsyncIterator[Beating]:
    """Two streams of one server that beat each second, of which the first line was read."""
    streams = Streams(line, DEADLINE_SECONDS, Heartbeats())
    one, two = (
        Site(process, [claim.job.key], streams, heartbeat_seconds=1) for claim in (held, other)
    )
    async with one.asked() as first, two.asked() as second:
        for reader in (first, second):
            await read_head(reader)
            await read_chunk(reader)
        yield one, first, second


async def test_beats_do_not_pile_for_who_reads_nothing(process: Process) -> None:
    held, other = await process.start_jobs(2)
    async with both_beating(process, held, other) as (stuck, _, second):
        transport = stuck.requests[0].transport
        assert transport
        for step in range(STEPS):
            await tell_progress(process.store, held, [step, LONG])
        await all_told(process)
        size = transport.get_write_buffer_size()
        for _ in range(2):
            assert await read_chunk(second) == b"\n"
        assert 0 < transport.get_write_buffer_size() <= size


async def test_no_beat_comes_after_the_end_of_the_answer(process: Process) -> None:
    held, other = await process.start_jobs(2)
    async with both_beating(process, held, other) as (ended, first, second):
        await finish(process.store, held)
        while chunk := await read_chunk(first):
            assert chunk == b"\n" or b"success" in chunk
        for _ in range(2):
            assert await read_chunk(second) == b"\n"
        transport = ended.requests[0].transport
        assert transport
        transport.close()
        assert await first.read() == b""


async def test_beats_come_in_http_1_0_too(process: Process) -> None:
    [held] = await process.start_jobs()
    streams = Streams(line, DEADLINE_SECONDS, Heartbeats())
    site = Site(process, [held.job.key], streams, heartbeat_seconds=1)
    async with site.asked("1.0") as reader, asyncio.timeout(DEADLINE_SECONDS):
        await read_head(reader)
        assert json.loads(await reader.readline())[0]["status"] == "executing"
        assert await reader.readline() == b"\n"
        await finish(process.store, held)
        assert json.loads(await reader.read())["status"] == "success"
