"""Whoever waits, in a stream or for an answer, is told each end once, in order and at once."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.waiting import DEADLINE_SECONDS, eventually, until
from tests.support.wire import next_line, read_lines

pytestmark = pytest.mark.usefixtures("no_bugs")

FINAL = ("success", "error")
RANK = {"queued": 0, "executing": 1, "success": 2, "error": 2}


def gate(path: Path) -> dict[str, Any]:
    return {"task_name": "site.gate", "path": str(path)}


def hello(name: str) -> dict[str, Any]:
    return {"task_name": "hello", "name": name}


async def open_streams(api: Api) -> float:
    """How many requests wait for jobs."""
    text = (await api.ask("GET", "/metrics")).body.decode()
    [line] = [line for line in text.splitlines() if line.startswith("dragon_open_streams ")]
    return float(line.split()[1])


async def until_waiting(api: Api, count: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await open_streams(api) != count:
            await asyncio.sleep(0.05)


# Lines


async def test_two_hundred_tasks_end_once_each_in_one_stream(api: Api) -> None:
    names = [f"guest {number}" for number in range(200)]
    async with api.create_stream(*map(hello, names)) as response:
        first, *lines = await read_lines(response)
    assert [status["status"] for status in first] == ["queued"] * 200
    keys = [status["key"] for status in first]
    assert len(set(keys)) == 200
    ends = [line for line in lines if line["status"] in FINAL]
    assert Counter(line["key"] for line in ends) == dict.fromkeys(keys, 1)
    results = {line["key"]: line["result"] for line in ends}
    assert [results[key] for key in keys] == [f"Hello {name}" for name in names]
    for key in keys:
        ranks = [RANK[line["status"]] for line in lines if line["key"] == key]
        assert ranks == sorted(set(ranks))


async def test_a_task_that_has_ended_gets_no_line_but_the_first(api: Api) -> None:
    wrong = {"task_name": "image.thumb", "url": "nowhere"}
    async with api.create_stream(wrong, hello("John"), wrong) as response:
        first, *lines = await read_lines(response)
    assert [status["status"] for status in first] == ["error", "queued", "error"]
    assert {line["key"] for line in lines} == {first[1]["key"]}


async def test_a_stream_of_ended_tasks_is_one_line(api: Api) -> None:
    keys = [(await api.run(**hello(name)))["key"] for name in ("John", "Jane")]
    answer = await api.ask("POST", "/v1/status_stream", json={"tasks": keys})
    [line] = answer.body.splitlines()
    assert [status["result"] for status in json.loads(line)] == ["Hello John", "Hello Jane"]
    assert answer.body.endswith(b"\n")


async def test_a_later_stream_leaves_out_what_has_ended(api: Api, tmp_path: Path) -> None:
    ended = (await api.run(**hello("John")))["key"]
    path = tmp_path / "gate"
    [running] = await api.create(gate(path))
    async with api.session.post(
        api.url + "/v1/status_stream", json={"tasks": [ended, running]}
    ) as response:
        first = await next_line(response)
        path.touch()
        lines = await read_lines(response)
    assert first[0]["result"] == "Hello John"
    assert {line["key"] for line in lines} == {running}
    assert lines[-1]["status"] == "success"


async def test_progress_comes_in_order(api: Api) -> None:
    async with api.create_stream({"task_name": "site.steps", "steps": 500}) as response:
        [created] = await next_line(response)
        told: list[int] = []
        while len(told) < 3:
            line = await next_line(response)
            assert line["status"] == "executing"
            told += [line["progress"]] if "progress" in line else []
        await api.post("/v1/cancel", {"tasks": created["key"]})
    assert told == sorted(set(told))
    assert set(told) <= set(range(500))


async def test_lines_come_as_things_happen(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    async with api.create_stream(gate(path), hello("John")) as response:
        waiting, greeted = await next_line(response)
        assert waiting["status"] == greeted["status"] == "queued"
        seen = {(line := await next_line(response))["key"]: line}
        while len(seen) < 2 or seen[greeted["key"]]["status"] != "success":
            line = await next_line(response)
            seen[line["key"]] = line
        assert seen[waiting["key"]]["status"] == "executing"
        path.write_text("let in")
        last = await next_line(response)
        assert (last["key"], last["result"]) == (waiting["key"], "let in")
        assert await response.content.read() == b""


async def test_an_answer_that_blocks_waits_for_the_last(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    tasks = [gate(path), hello("John")]
    body = {"tasks": tasks, "block": True}
    created = asyncio.create_task(api.post("/v1/create", body))
    await until_waiting(api, 1)
    await eventually(lambda: list(tmp_path.glob("gate.*.started")))
    assert not created.done()
    path.touch()
    _, statuses = await created
    assert [status["result"] for status in statuses] == ["open", "Hello John"]


async def test_a_key_given_twice_is_answered_twice_and_told_once(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    [key] = await api.create(gate(path))
    blocked = asyncio.create_task(api.get(f"/v1/status?tasks={key}&tasks={key}&block=1"))
    async with api.session.get(f"{api.url}/v1/stream?tasks={key}&tasks={key}") as response:
        first = await next_line(response)
        await until_waiting(api, 2)
        path.touch()
        lines = await read_lines(response)
    assert [status["key"] for status in first] == [key, key]
    assert [line["status"] for line in lines if line["status"] in FINAL] == ["success"]
    _, statuses = await blocked
    assert [status["result"] for status in statuses] == ["open", "open"]
    _, again = await api.get(f"/v1/status?tasks={key}&tasks={key}")
    assert again == statuses


# Waiters


async def test_a_thousand_waiters_share_one_subscription(
    api: Api, broker: Broker, tmp_path: Path
) -> None:
    path = tmp_path / "gate"
    keys = await api.create(*[gate(path)] * 20)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(api.url, connector=connector) as session:
        blocked = [asyncio.create_task(block(session, keys[turn % 20])) for turn in range(200)]
        streams = [await session.get(f"/v1/stream?tasks={keys[turn % 20]}") for turn in range(800)]
        assert {(await next_line(stream))[0]["status"] for stream in streams} <= RANK.keys()
        await until_waiting(api, 1000)
        # Parents that another test has cancelled may listen to their children for a while.
        assert await until(lambda: is_shared(broker))
        assert not any(waiter.done() for waiter in blocked)
        path.touch()
        for stream in streams:
            *_, last = await read_lines(stream)
            assert last["result"] == "open"
        assert {status["result"] for [status] in await asyncio.gather(*blocked)} == {"open"}
    await until_waiting(api, 0)


async def block(session: aiohttp.ClientSession, key: str) -> Any:
    async with session.get(f"/v1/status?tasks={key}&block=true") as response:
        return await response.json()


async def is_shared(broker: Broker) -> bool:
    """The server's connection has one status channel, and is told of files that are deleted; the
    worker's is woken, told to stop, and sent jobs."""
    listed = await broker.client.client_list(_type="pubsub")
    woken = len(await broker.client.pubsub_channels("dragon:wake:*"))
    told = len(await broker.client.pubsub_channels("dragon:status:*"))
    counts = sorted(int(client["sub"]) for client in listed)
    return told == 1 < woken and counts == [told + 1, woken + 2]


async def test_a_client_that_leaves_ends_its_watch_and_not_its_job(
    api: Api, tmp_path: Path
) -> None:
    path = tmp_path / "gate"
    await until_waiting(api, 0)
    async with api.create_stream(gate(path)) as left:
        [status] = await next_line(left)
        blocked = asyncio.create_task(api.get(f"/v1/status?tasks={status['key']}&block=1"))
        await until_waiting(api, 2)
        left.close()
        await until_waiting(api, 1)
    blocked.cancel()
    await asyncio.gather(blocked, return_exceptions=True)
    await until_waiting(api, 0)
    _, [running] = await api.get(f"/v1/status?tasks={status['key']}")
    assert running["status"] in ("queued", "executing")
    path.touch()
    _, [final] = await api.get(f"/v1/status?tasks={status['key']}&block=1")
    assert final["result"] == "open"
