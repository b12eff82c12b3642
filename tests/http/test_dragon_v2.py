"""What the second version of the API has beyond the first: errors, details, partial files."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.origin import Origin
from tests.support.processes import Dragon, is_alive
from tests.support.wire import read_lines

FIRST = {"task_name": "hello", "name": "John"}
REQUIRED = {"parameters": {"url": ["this field is required"]}}


async def run(api: Api, definition: dict[str, Any]) -> Any:
    status, [ended] = await api.post("/v2/create", {"tasks": definition, "block": True})
    assert status == 200
    return ended


async def test_a_task_is_created_and_waited_for(api: Api) -> None:
    ended = await run(api, FIRST)
    assert (ended["status"], ended["result"]) == ("success", "Hello John")
    assert ended.keys() == {"status", "key", "result", "events"}


async def test_problems_of_parameters_stand_in_error_by_name(api: Api) -> None:
    ended = await run(api, {"task_name": "image.thumb"})
    assert ended["error"] == REQUIRED
    assert ended.keys() == {"status", "key", "error", "events"}
    assert ended["events"].keys() == {"queued", "completed"}


async def test_what_a_task_fails_of_stands_in_error(api: Api, origin: Origin) -> None:
    origin.bodies["cat.jpg"] = b"no picture at all"
    url = origin.url("cat.jpg")
    ended = await run(api, {"task_name": "image.thumb", "url": url})
    assert ended["error"] == f"File '{url}' is not a valid image file"
    assert "result" not in ended


async def test_both_versions_tell_of_the_same_task_in_their_own_words(api: Api) -> None:
    key = (await run(api, {"task_name": "image.thumb"}))["key"]
    _, [first] = await api.get(f"/v1/status?tasks={key}")
    _, [second] = await api.get(f"/v2/status?tasks={key}")
    assert first.pop("result") == "url: this field is required"
    assert second.pop("error") == REQUIRED
    assert first == second


@pytest.mark.parametrize("path", ["/v2/status_stream", "/v2/stream"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_statuses_are_streamed(api: Api, method: str, path: str) -> None:
    key = (await run(api, {"task_name": "image.thumb"}))["key"]
    how: dict[str, Any] = (
        {"params": {"tasks": key}} if method == "GET" else {"json": {"tasks": key}}
    )
    async with api.session.request(method, api.url + path, **how) as stream:
        assert stream.content_type == "application/x-ndjson"
        [[told]] = await read_lines(stream)
    assert told["error"] == REQUIRED


async def test_created_tasks_are_streamed(api: Api) -> None:
    body = {"tasks": [FIRST, {"task_name": "image.thumb"}]}
    async with api.session.post(
        api.url + "/v2/create_stream", json=body, headers=api.headers
    ) as stream:
        first, *_, last = await read_lines(stream)
    assert [one["status"] for one in first] == ["queued", "error"]
    assert first[1]["error"] == REQUIRED
    assert (last["key"], last["result"]) == (first[0]["key"], "Hello John")


DEFINITION = {
    **FIRST,
    "task_metas": {"order": [7, None], "words": "für Elise"},
    "task_store": {"type": "volatile"},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("block", [True, False])
async def test_details_tell_what_was_asked_for(api: Api, method: str, block: bool) -> None:
    key = (await run(api, DEFINITION))["key"]
    if method == "GET":
        _, [told] = await api.get(f"/v2/status?tasks={key}&details=true&block={block}")
    else:
        body = {"tasks": [key], "details": True, "block": block}
        _, [told] = await api.post("/v2/status", body)
    assert told.pop("details") == {
        "task_name": "hello",
        "parameters": {"name": "John"},
        "task_metas": DEFINITION["task_metas"],
        "task_store": {"type": "volatile"},
        "attempts": 1,
    }
    assert [told] == (await api.get(f"/v2/status?tasks={key}"))[1]


async def test_details_tell_no_address_of_a_web_hook(api: Api) -> None:
    hooks = {
        "url_callback": "http://a.invalid/?token=1",
        "url_errback": "http://b.invalid/?token=2",
    }
    pipeline = {"task_name": "media.pipeline", "steps": {"one": FIRST | hooks}} | hooks
    key = (await run(api, pipeline))["key"]
    _, [told] = await api.get(f"/v2/status?tasks={key}&details=true")
    assert "token" not in json.dumps(told)
    assert told["details"]["parameters"]["steps"]["one"]["name"] == "John"


async def test_details_are_bounded_together(api: Api, no_bugs: None) -> None:
    key = (await run(api, FIRST | {"task_metas": "m" * 900_000}))["key"]
    status, answer = await api.post("/v2/status", {"tasks": [key] * 40, "details": True})
    assert (status, "max_answer_bytes" in answer["errors"][0]["description"]) == (400, True)
    status, told = await api.post("/v2/status", {"tasks": [key] * 30, "details": True})
    assert (status, len(told)) == (200, 30)


async def test_details_of_a_task_that_was_refused_tell_that_it_was_never_tried(api: Api) -> None:
    key = (await run(api, {"task_name": "image.thumb"}))["key"]
    _, [told] = await api.get(f"/v2/status?tasks={key}&details=1")
    assert (told["details"]["parameters"], told["details"]["attempts"]) == (None, 0)


async def test_details_count_the_attempts(own: Dragon, client: Api, gate: Gate) -> None:
    _, [queued] = await client.post("/v2/create", {"tasks": gate.task()})
    await gate.runs(1)
    worker = own.worker()
    worker.kill()
    await gate.runs(2)
    assert not is_alive(worker)
    gate.open()
    path = f"/v2/status?tasks={queued['key']}&details=true&block=true"
    _, [ended] = await client.get(path)
    assert (ended["status"], ended["details"]["attempts"]) == ("success", 2)


async def test_the_first_version_knows_no_details(api: Api) -> None:
    key = (await run(api, FIRST))["key"]
    status, answer = await api.post("/v1/status", {"tasks": key, "details": True})
    assert (status, answer["errors"][0]["name"]) == (400, "details")


async def test_details_that_are_no_boolean_are_refused(api: Api) -> None:
    status, answer = await api.post("/v2/status", {"tasks": "A" * 26, "details": "true"})
    assert status == 400
    assert answer["errors"] == [
        {"name": "details", "location": "body", "description": "details must be true or false"}
    ]


async def test_a_file_of_a_partial_result_is_redirected_to_while_the_task_runs(
    api: Api, gate: Gate
) -> None:
    _, [queued] = await api.post("/v2/create", {"tasks": gate.task("site.partial")})
    answer = await api.ask("GET", f"/v2/file/first?task={queued['key']}")
    assert (answer.status, answer.headers["Cache-Control"]) == (302, "no-store")
    async with api.session.get(answer.headers["Location"]) as file:
        assert await file.text() == "first of run 0"
    _, [running] = await api.get(f"/v2/status?tasks={queued['key']}")
    assert running["status"] == "executing"
    second = asyncio.create_task(api.ask("GET", f"/v2/file/second.txt?task={queued['key']}"))
    early = asyncio.create_task(api.ask("GET", f"/v1/file/first?task={queued['key']}"))
    gate.open()
    assert (await second).headers["Location"].endswith("/second.txt")
    assert (await early).status == 302


async def test_creating_a_file_answers_with_a_partial_result(api: Api, gate: Gate) -> None:
    definition = gate.task("site.partial")
    made = await api.ask(
        "POST", "/v2/create_file/first.txt", json={"task": definition}, headers=api.headers
    )
    query = {**definition, "secret": SECRET}
    first = await api.ask("GET", "/v2/create_file/first", params=query)
    again = await api.ask("GET", "/v2/create_file/first", params=query)
    gate.open()
    whole = await api.ask("GET", "/v2/create_file/second", params=query)
    assert [answer.status for answer in (made, first, again, whole)] == [302] * 4
    assert first.headers["Location"] == again.headers["Location"] != made.headers["Location"]
    assert first.headers["Cache-Control"] == "no-store"


async def test_a_file_that_fails_is_answered_with_its_status(api: Api) -> None:
    status, answer = await api.post("/v2/create_file", {"task": {"task_name": "image.thumb"}})
    assert (status, answer["error"]) == (400, REQUIRED)


async def test_a_task_is_cancelled(api: Api, gate: Gate) -> None:
    _, [queued] = await api.post("/v2/create", {"tasks": gate.task()})
    await gate.runs(1)
    status, [cancelled] = await api.post("/v2/cancel", {"tasks": queued["key"]})
    assert (status, cancelled["status"], cancelled["error"]) == (200, "error", "cancelled")
