"""Clients whose streams break off, and who come back sooner or later, to any server."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.chaos.check import check
from tests.chaos.harness import Definition, Fleet
from tests.chaos.ledger import FINAL, finals_of
from tests.chaos.test_crashes import mixed
from tests.chaos.test_decoders import ended_at
from tests.chaos.test_store_faults import RANK
from tests.support.accounts import SECRET
from tests.support.api import Answer
from tests.support.processes import Part
from tests.support.reading_events import Event, Events, ends_in
from tests.support.waiting import until

AT_ONCE = 10
ANSWER_SECONDS = 1


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One client: how many lines it reads, and where and when it returns."""

    definitions: list[Definition]
    lines: int
    is_late: bool
    first: Part
    second: Part
    headers: dict[str, str]


@pytest.mark.chaos(ci=50, long=500)
async def test_p10_who_returns_is_told_the_truth(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    visits = [plan(fleet, chance, number) for number in range(n)]
    for start in range(0, n, AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for visit in visits[start : start + AT_ONCE]:
                group.create_task(leave_and_return(fleet, visit))
    await check(fleet, is_exact=True)


def plan(fleet: Fleet, chance: random.Random, number: int) -> Visit:
    return Visit(
        definitions=mixed(chance, chance.randint(1, 4)),
        lines=chance.randint(0, 12),
        is_late=chance.random() < 0.5,
        first=chance.choice(fleet.servers),
        second=chance.choice(fleet.servers),
        headers={"Authorization": f"Secret {SECRET}", "Idempotency-Key": f"visit{number}"},
    )


async def leave_and_return(fleet: Fleet, visit: Visit) -> None:
    before = [line async for line, _ in read(fleet, visit, visit.first, [], visit.lines)]
    keys = [status["key"] for status in before[0]] if before else []
    if keys and visit.is_late:
        await fleet.wait(keys, visit.first)
    returned_at = time.time()
    after: list[Any] = []
    async for line, told_at in read(fleet, visit, visit.second, keys):
        after.append(line)
        for status in line if isinstance(line, list) else [line]:
            if status["status"] in FINAL:
                began = max(returned_at, ended_at(status))
                assert fleet.pace.seconds(began, told_at) <= ANSWER_SECONDS
    first, *rest = after
    assert finals_of(after).keys() == {status["key"] for status in first}
    assert not keys or [status["key"] for status in first] == keys
    assert not (keys and visit.is_late and rest), "the end was known, and not told at once"
    assert_goes_on(before, after)


async def read(
    fleet: Fleet, visit: Visit, server: Part, keys: list[str], lines: int = 1000
) -> AsyncIterator[tuple[Any, float]]:
    """So many lines of a stream and when they came, before the client leaves.

    Who was told no key yet sends its request again, as if it was lost.
    """
    method = "status_stream" if keys else "create_stream"
    async with fleet.session.post(
        f"{server.url()}/v1/{method}",
        json={"tasks": keys or visit.definitions},
        headers=visit.headers,
    ) as response:
        assert response.status == 200
        if lines:
            async for line in fleet.lines(response):
                yield line, time.time()
                lines -= 1
                if not lines:
                    break
        response.close()


def assert_goes_on(before: list[Any], after: list[Any]) -> None:
    """Each stream goes ahead, and the second begins no earlier than where the first broke off."""
    for status in after[0]:
        last: tuple[int, int] | None = None
        for lines in (before, after):
            places = [place_of(one) for one in flat(lines) if one["key"] == status["key"]]
            assert places == sorted(set(places))
            if last and places:
                assert places[0] >= last
            last = places[-1] if places else last


def flat(lines: list[Any]) -> list[Any]:
    """All statuses, those of the first line as well."""
    return [*lines[0], *lines[1:]] if lines else []


def place_of(status: Any) -> tuple[int, int]:
    """How far a task is."""
    return RANK[status["status"]], status.get("progress", -1)


@pytest.mark.chaos(ci=20, long=500)
async def test_p10_who_reads_events_is_told_each_end_once_over_all_connections(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for start in range(0, n, AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for number in range(start, min(start + AT_ONCE, n)):
                group.create_task(come_back_until_the_end(fleet, chance, f"reader{number}"))
    await check(fleet, is_exact=True)


async def come_back_until_the_end(fleet: Fleet, chance: random.Random, name: str) -> None:
    body = {"tasks": mixed(chance, chance.randint(1, 20))}
    keys: list[str] = []
    told: list[Event] = []
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Secret {SECRET}",
        "Idempotency-Key": name,
    }
    while not told or told[-1].type != "end":
        url = chance.choice(fleet.servers).url() + "/v1"
        query = [("tasks", key) for key in keys]
        # As a program does that repeats its request, or as a browser does.
        request = (
            fleet.session.get(f"{url}/status_stream", params=query, headers=headers)
            if keys and chance.random() < 0.5
            else fleet.session.post(f"{url}/create_stream", json=body, headers=headers)
        )
        async with request as response:
            assert response.status == 200
            told += await some_of(Events(response), chance.randint(0, 8))
            response.close()
        if told:
            keys = [status["key"] for status in told[0].data]
            headers["Last-Event-ID"] = told[-1].id
            fleet.ledger.acknowledge(told[0].data)
    assert sorted(ends_in(told)) == sorted(keys)
    url = chance.choice(fleet.servers).url() + "/v1/status_stream"
    async with fleet.session.post(url, json={"tasks": keys}, headers=headers) as response:
        assert response.status == 204


async def some_of(events: Events, count: int) -> list[Event]:
    read: list[Event] = []
    while len(read) < count:
        try:
            read.append(await anext(events))
        except StopAsyncIteration:
            break
    return read


@pytest_asyncio.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Fleet]:
    """It keeps volatile tasks for three seconds."""
    async with Fleet(tmp_path, DRAGON_VOLATILE_SECONDS="3") as fleet:
        yield fleet


@pytest.mark.chaos(ci=2, long=50)
async def test_p10_who_returns_too_late_is_told_so(
    forgetful: Fleet, chance: random.Random, n: int
) -> None:
    volatile = {"task_store": {"type": "volatile"}}
    for _ in range(n):
        await forgetful.submit(mixed(chance, 5))
        tasks = [{"task_name": "site.write", "text": "a"} | volatile] * chance.randint(1, 5)
        # Nobody tells the ledger: they will be gone when everything is checked.
        _, statuses = await forgetful.api().post("/v1/create", {"tasks": tasks, "block": True})
        assert {status["status"] for status in statuses} == {"success"}
        lost = chance.choice(statuses)
        server = chance.choice(forgetful.servers)
        paths = [f"/v1/{method}?tasks={lost['key']}" for method in ("status", "status_stream")]
        paths += [f"/v1/status?block=true&tasks={lost['key']}", f"/v1/file?task={lost['key']}"]
        for path in paths:
            answer = await ask_until_gone(forgetful, server, path)
            [error] = answer.json["errors"]
            assert lost["key"] in error["description"]
            assert "expired" in error["description"]
        path = "/files/" + lost["result"]["output"].partition("/files/")[2]
        await ask_until_gone(forgetful, server, path)
    await check(forgetful, is_exact=True)


async def ask_until_gone(fleet: Fleet, server: Part, path: str) -> Answer:
    """Each time it is answered at once, by what is there still or by 404."""

    async def ask() -> Answer | None:
        began = time.time()
        answer = await fleet.api(server).ask("GET", path)
        assert fleet.pace.seconds(began) <= ANSWER_SECONDS
        assert answer.status in (200, 302, 404)
        return answer if answer.status == 404 else None

    answer = await until(ask)
    assert answer
    return answer
