"""Whatever the second version does not say otherwise is answered by both in the same words."""

import asyncio
import re
from typing import Any

import pytest

from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Answer, Api
from tests.support.gate import Gate
from tests.support.waiting import DEADLINE_SECONDS

UNKNOWN = "A" * 26
EVENTS = {"Accept": "text/event-stream"}
HELLO = {"task_name": "hello", "name": "John"}
WITH_SECRET = {"Authorization": f"Secret {SECRET}"}
ELSEWHERE = {"Authorization": f"Api-Key {API_KEY}", "Referer": "https://elsewhere.net/"}
LIMITED = {"Authorization": "Secret few-secret"}

REFUSED: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "no credentials": ("POST", "/create", {"json": {"tasks": HELLO}}, 401),
    "wrong ones": ("POST", "/create", {"json": {"tasks": HELLO, "secret": "no"}}, 401),
    "another page": ("POST", "/create", {"json": {"tasks": HELLO}, "headers": ELSEWHERE}, 401),
    "over limits": ("POST", "/create", {"json": {"tasks": [HELLO] * 6}, "headers": LIMITED}, 401),
    "stream over limits": (
        "POST", "/create_stream", {"json": {"tasks": [HELLO] * 6}, "headers": LIMITED}, 401,
    ),
    "no JSON": ("POST", "/create", {"data": b"{"}, 400),
    "a list": ("POST", "/status", {"data": b"[]"}, 400),
    "unknown names": ("POST", "/create", {"json": {"tsaks": 1}, "headers": WITH_SECRET}, 400),
    "unknown task": (
        "POST", "/create", {"json": {"tasks": {"task_name": "no"}}, "headers": WITH_SECRET}, 400,
    ),
    "no object": ("POST", "/create_file/x", {"json": {"task": 1}, "headers": WITH_SECRET}, 400),
    "unknown keys": ("GET", f"/status?tasks={UNKNOWN}&tasks=B", {}, 404),
    "unknown keys in a body": ("POST", "/status", {"json": {"tasks": [UNKNOWN, "B"]}}, 404),
    "unknown keys of a stream": ("GET", f"/status_stream?tasks={UNKNOWN}", {}, 404),
    "unknown keys of events": ("GET", f"/stream?tasks={UNKNOWN}", {"headers": EVENTS}, 404),
    "unknown keys to cancel": (
        "POST", "/cancel", {"json": {"tasks": UNKNOWN}, "headers": WITH_SECRET}, 404,
    ),
    "unknown key of a file": ("GET", f"/file/x?task={UNKNOWN}", {}, 404),
    "no key of a file": ("GET", "/file/x", {}, 400),
    "no boolean": ("GET", f"/status?tasks={UNKNOWN}&block=2", {}, 400),
    "no seconds": ("GET", f"/status_stream?tasks={UNKNOWN}&heartbeat=0", {}, 400),
    "wrong method": ("GET", "/create", {}, 405),
    "unknown path": ("GET", "/creat", {}, 404),
    "no head of a stream": ("HEAD", f"/status_stream?tasks={UNKNOWN}", {}, 405),
    "picture of an error": ("GET", "/create_file/x?task_name=no&error=image", {}, 401),
}  # fmt: skip

COMPARED = ("Content-Type", "Cache-Control", "WWW-Authenticate", "Retry-After", "Allow")


def told(answer: Answer) -> tuple[Any, ...]:
    return answer.status, answer.body, *map(answer.headers.get, COMPARED)


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_is_refused_in_the_same_words(api: Api, what: str) -> None:
    method, path, options, status = REFUSED[what]
    first = await api.ask(method, "/v1" + path, **options)
    second = await api.ask(method, "/v2" + path, **options)
    assert first.status == status
    assert told(first) == told(second)


async def test_limits_say_in_both_when_to_try_again(api: Api) -> None:
    for version in ("/v1", "/v2"):
        body = {"tasks": [HELLO] * 6}
        answer = await api.ask("POST", version + "/create", json=body, headers=LIMITED)
        assert int(answer.headers["Retry-After"]) >= 1


def without_chance(answer: Answer) -> str:
    """What it says but for keys, moments and the pauses that are drawn for each."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "MOMENT", answer.body.decode())
    return re.sub(r"[A-Z2-7]{26}|retry: \d+|id: [0-9a-f]{8}", "ANY", text)


@pytest.mark.parametrize("credentials", [WITH_SECRET, {**ELSEWHERE, "Referer": PAGE}])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/create", {"tasks": HELLO, "block": True}),
        ("/create_stream", {"tasks": {"task_name": "hello"}}),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_what_is_created_is_told_in_the_same_form(
    api: Api, path: str, body: dict[str, Any], credentials: dict[str, str], accept: str
) -> None:
    headers = {**credentials, "Accept": accept}
    first = await api.ask("POST", "/v1" + path, json=body, headers=headers)
    second = await api.ask("POST", "/v2" + path, json=body, headers=headers)
    assert first.status == second.status == 200
    assert first.headers["Content-Type"] == second.headers["Content-Type"]
    in_first_words = without_chance(second).replace(
        '"error":{"parameters":{"name":["this field is required"]}}',
        '"result":"name: this field is required"',
    )
    assert in_first_words == without_chance(first)


async def test_a_request_repeated_at_the_other_version_is_the_same(api: Api) -> None:
    headers = {**WITH_SECRET, "Idempotency-Key": "both-versions"}
    body = {"tasks": [HELLO, {"task_name": "hello"}]}
    answers = [
        await api.ask("POST", version + "/create", json=body, headers=headers)
        for version in ("/v1", "/v2")
    ]
    [first, second] = ([status["key"] for status in answer.json] for answer in answers)
    assert first == second


async def test_a_task_of_one_version_is_cancelled_and_told_by_the_other(
    api: Api, gate: Gate
) -> None:
    _, [queued] = await api.post("/v1/create", {"tasks": gate.task()})
    await gate.runs(1)
    _, [cancelled] = await api.post("/v2/cancel", {"tasks": queued["key"]})
    _, [told] = await api.get(f"/v1/status?tasks={queued['key']}&block=yes")
    assert cancelled["error"] == told["result"] == "cancelled"


@pytest.mark.parametrize("version", ["/v1", "/v2"])
async def test_a_partial_result_is_told_in_streams_of_lines_and_of_events(
    api: Api, gate: Gate, version: str
) -> None:
    _, [queued] = await api.post(version + "/create", {"tasks": gate.task("site.partial")})
    path = f"{api.url}{version}/status_stream?tasks={queued['key']}"
    for headers in ({}, EVENTS):
        async with asyncio.timeout(DEADLINE_SECONDS), api.session.get(path, headers=headers) as one:
            told = ""
            while "first.txt" not in told:
                told = (await one.content.readline()).decode()
            assert '"status":"executing"' in told
    gate.open()
