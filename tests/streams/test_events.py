"""Streams as server-sent events: who comes back with the id of the last one goes on from there."""

import asyncio
import json
import secrets
import signal
from typing import Any

import pytest

from tests.support.accounts import PATIENT
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.processes import Dragon
from tests.support.reading_events import Event, Events, ends_in, following
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_bugs")

EVENTS = {"Accept": "text/event-stream"}


def hello(name: str) -> dict[str, Any]:
    return {"task_name": "hello", "name": name}


async def start(api: Api, *tasks: dict[str, Any], is_blocking: bool = False) -> list[str]:
    _, statuses = await api.post("/v2/create", {"tasks": tasks, "block": is_blocking})
    return [status["key"] for status in statuses]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events_say_what_the_lines_do(api: Api, version: str) -> None:
    keys = await start(api, hello("John"), {"task_name": "hello"}, is_blocking=True)
    async with following(api, keys, version=version) as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-store"
        assert events.response.headers["Access-Control-Allow-Origin"] == "*"
        first, end = [event async for event in events]
    assert 1000 <= events.retry_milliseconds <= 3000
    lines = await api.ask("POST", f"/{version}/status_stream", json={"tasks": keys})
    assert (first.type, first.data) == ("message", lines.json)
    assert (end.type, end.data) == ("end", {})


async def test_each_event_is_one_newer_status(api: Api) -> None:
    [key] = await start(api, {"task_name": "site.steps", "steps": 5})
    async with following(api, [key]) as events:
        first, *told, end = [event async for event in events]
    statuses = [*first.data, *(event.data for event in told)]
    assert {status["key"] for status in statuses} == {key}
    progress = [status["progress"] for status in statuses if "progress" in status]
    assert progress == sorted(set(progress))
    assert statuses[-1]["status"] == "success"
    assert ends_in([first, *told]) == [key]
    assert end.type == "end"


async def test_who_comes_back_at_any_point_is_told_each_other_end(api: Api) -> None:
    keys = await start(api, *[hello(f"guest {number}") for number in range(40)])
    async with following(api, keys) as events:
        told = [event async for event in events]
    assert sorted(ends_in(told)) == sorted(keys)
    for place in range(len(told) - 1):
        before = told[: place + 1]
        async with following(api, keys, before[-1].id) as events:
            *after, end = [event async for event in events]
        assert sorted(ends_in([*before, *after])) == sorted(keys)
        assert end.type == "end"
        assert len(after) <= 1


async def test_the_same_goes_for_who_comes_back_while_tasks_run(api: Api, gate: Gate) -> None:
    ended, held = await start(api, hello("John"), gate.task())
    before: list[Event] = []
    async with following(api, [ended, held]) as events:
        while ended not in ends_in(before):
            before.append(await anext(events))
    async with following(api, [ended, held], before[-1].id) as events:
        first = await anext(events)
        assert [status["key"] for status in first.data] == [held]
        gate.open()
        after = [first] + [event async for event in events]
    assert ends_in([*before, *after]) == [ended, held]


async def test_the_end_is_told_and_then_there_is_no_content(api: Api) -> None:
    keys = await start(api, hello("John"), is_blocking=True)
    async with following(api, keys) as events:
        first, end = [event async for event in events]
    async with following(api, keys, first.id) as events:
        assert [event async for event in events] == [end]
    async with following(api, keys, end.id) as events:
        assert events.response.status == 204
        assert events.response.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_id_of_another_stream_counts_for_nothing(api: Api) -> None:
    keys = await start(api, hello("John"), hello("Jane"), is_blocking=True)
    async with following(api, keys[:1]) as events:
        *_, end = [event async for event in events]
    for wrong in (end.id, "1", "é", "x" * 1000):
        async with following(api, keys, wrong) as events:
            assert ends_in([event async for event in events]) == keys


async def test_a_task_that_is_unknown_is_an_error_as_ever(api: Api) -> None:
    async with following(api, ["A" * 26]) as events:
        assert events.response.status == 404
        assert "unknown" in (await events.response.json())["errors"][0]["description"]


async def test_a_request_that_creates_goes_on_when_it_is_repeated(api: Api, gate: Gate) -> None:
    headers = api.headers | EVENTS | {"Idempotency-Key": secrets.token_hex(8)}
    body = {"tasks": [hello("John"), gate.task()]}
    before: list[Event] = []
    async with api.session.post(f"{api.url}/v2/create_stream", json=body, headers=headers) as one:
        events = Events(one)
        while len(ends_in(before)) < 1:
            before.append(await anext(events))
    headers["Last-Event-ID"] = before[-1].id
    async with api.session.post(f"{api.url}/v2/create_stream", json=body, headers=headers) as two:
        events = Events(two)
        first = await anext(events)
        gate.open()
        after = [first] + [event async for event in events]
    assert ends_in([*before, *after]) == [status["key"] for status in before[0].data]
    keys = [status["key"] for status in before[0].data]
    async with following(api, keys, after[-1].id) as again:
        assert again.response.status == 204


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/x-ndjson"),
        ("text/event-stream-no", "application/x-ndjson"),
        ("application/json, Text/Event-Stream;q=0.9", "text/event-stream"),
    ],
)
async def test_accept_says_which_form_is_wanted(api: Api, accept: str, content_type: str) -> None:
    keys = await start(api, hello("John"), is_blocking=True)
    for method, options in (("GET", {}), ("POST", {"json": {"tasks": keys}})):
        path = f"/v2/stream?tasks={keys[0]}" if method == "GET" else "/v2/stream"
        answer = await api.ask(method, path, headers={"Accept": accept}, **options)
        assert answer.headers["Content-Type"] == content_type


@pytest.mark.parametrize("own", [PATIENT], indirect=True)
async def test_a_server_that_leaves_sends_event_sources_that_come_to_the_next(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await start(client, gate.task())
    query = f"/v2/status_stream?tasks={key}"
    async with following(client, [key]) as events:
        await anext(events)
        own.server().send_signal(signal.SIGTERM)
        await eventually(lambda: own.events("server_drains"))
        asked = [
            client.ask(method, path, headers=headers)
            for method, path, headers in (
                ("GET", query, EVENTS),
                ("GET", "/v2/nothing", EVENTS),
                ("GET", query, {}),
                ("POST", query, EVENTS),
            )
        ]
        *answers, get, post = await asyncio.gather(*asked)
        assert get.status == post.status == 503
        for answer in answers:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
            retry, kind, data, *_ = answer.body.decode().split("\n")
            assert (retry, kind) == ("retry: 1000", "event: reconnect")
            assert "shutting down" in json.loads(data.removeprefix("data: "))["message"]
        gate.open()
        *told, end = [event async for event in events]
    assert (ends_in(told), end.type) == ([key], "end")


async def test_a_server_that_leaves_sends_event_sources_that_wait_to_the_next(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await start(client, gate.task())
    async with following(client, [key]) as events:
        await anext(events)
        own.server().send_signal(signal.SIGTERM)
        *_, last = [event async for event in events]
    assert last.type == "reconnect"
    assert "restarting" in last.data["message"]
    await eventually(lambda: len(own.events("server_started")) == 2)
    gate.open()
    async with following(client, [key], last.id) as events:
        assert ends_in([event async for event in events]) == [key]
