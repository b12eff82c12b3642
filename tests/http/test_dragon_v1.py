"""The examples of the first API's document, in its order; test_create_file.py has the files'."""

import re
from typing import Any

import pytest

from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.origin import Origin
from tests.support.wire import next_line, read_lines

KEY = re.compile(r"[A-Z2-7]{26}")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


@pytest.fixture
def picture(origin: Origin) -> str:
    """What http://files.com/image.jpg is in the document."""
    return origin.url("rocket.jpg")


# Authentication


async def test_the_secret_may_stand_in_the_body(api: Api, picture: str) -> None:
    body = {"secret": SECRET, "tasks": {"task_name": "image.info", "url": picture}}
    answer = await api.ask("POST", "/v1/create", json=body)
    assert (answer.status, answer.json[0]["status"]) == (200, "queued")


async def test_the_secret_may_stand_in_the_header(api: Api, picture: str) -> None:
    body = {"tasks": {"task_name": "image.info", "url": picture}}
    headers = {"Authorization": f"Secret {SECRET}"}
    answer = await api.ask("POST", "/v1/create", json=body, headers=headers)
    assert (answer.status, answer.json[0]["status"]) == (200, "queued")


async def test_the_api_key_may_stand_in_the_body(api: Api, picture: str) -> None:
    body = {"api_key": API_KEY, "tasks": {"task_name": "image.info", "url": picture}}
    answer = await api.ask("POST", "/v1/create", json=body, headers={"Referer": PAGE})
    assert (answer.status, answer.json[0]["status"]) == (200, "queued")


async def test_the_api_key_may_stand_in_the_header(api: Api, picture: str) -> None:
    body = {"tasks": {"task_name": "image.info", "url": picture}}
    headers = {"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE}
    answer = await api.ask("POST", "/v1/create", json=body, headers=headers)
    assert (answer.status, answer.json[0]["status"]) == (200, "queued")


async def test_an_api_key_on_a_page_that_is_not_listed_is_refused(api: Api, picture: str) -> None:
    body = {"tasks": {"task_name": "image.info", "url": picture}}
    headers = {"Authorization": f"Api-Key {API_KEY}", "Referer": "https://elsewhere.net/"}
    answer = await api.ask("POST", "/v1/create", json=body, headers=headers)
    assert answer.status == 401


# HTTP status codes


async def test_forgotten_tasks_are_described(api: Api) -> None:
    assert await api.post("/v1/create", {}) == (
        400,
        {
            "status": "error",
            "errors": [{"name": "tasks", "location": "body", "description": "tasks is missing"}],
        },
    )


async def test_invalid_credentials_are_a_401(api: Api) -> None:
    body = {"tasks": {"task_name": "hello", "name": "John"}}
    status, answer = await api.post("/v1/create", body, Authorization="Secret wrong")
    assert status == 401
    assert answer["status"] == "error"
    assert answer.keys() == {"status", "message"}


async def test_account_limits_are_a_401(api: Api) -> None:
    body = {"secret": "few-secret", "tasks": [{"task_name": "hello", "name": "John"}] * 6}
    answer = await api.ask("POST", "/v1/create", json=body)
    assert answer.status == 401
    assert answer.json["message"].startswith("this account may have 5 tasks queued")


# Statuses


async def test_a_status_has_a_key_and_dates(api: Api) -> None:
    final = await api.run(task_name="hello", name="John")
    assert final.keys() == {"status", "key", "events", "result"}
    assert KEY.fullmatch(final["key"])
    events = final["events"]
    assert events.keys() == {"queued", "started", "completed"}
    assert all(DATE.fullmatch(date) for date in events.values())
    assert events["queued"] <= events["started"] <= events["completed"]


async def test_a_queued_task_has_no_other_event_yet(api: Api) -> None:
    body = {"tasks": {"task_name": "hello", "name": "John"}}
    _, [status] = await api.post("/v1/create", body)
    assert status.keys() == {"status", "key", "events"}
    assert status["status"] == "queued"
    assert status["events"].keys() == {"queued"}


async def test_a_running_task_tells_its_progress(api: Api, gate: Gate) -> None:
    async with api.create_stream(gate.task("site.told_gate") | {"progress": 0}) as stream:
        await next_line(stream)
        while "progress" not in (running := await next_line(stream)):
            pass
    gate.open()
    assert running.keys() == {"status", "key", "progress", "events"}
    assert (running["status"], running["progress"]) == ("executing", 0)
    assert running["events"].keys() == {"queued", "started"}


async def test_a_failed_task_has_its_message_as_result(api: Api) -> None:
    final = await api.run(task_name="site.fail")
    assert (final["status"], final["result"]) == ("error", "it cannot be done")
    assert final["events"].keys() == {"queued", "started", "completed"}


# POST /v1/create


async def test_two_tasks_are_created_in_order(api: Api, picture: str) -> None:
    names = ["image.info", "image.thumb"]
    body = {"tasks": [{"task_name": name, "url": picture} for name in names], "block": True}
    status, [info, thumb] = await api.post("/v1/create", body)
    assert status == 200
    assert info["key"] != thumb["key"]
    assert info["result"]["content_type"] == "image/jpeg"
    assert thumb["result"]["output"] == f"{api.url}/files/{thumb['key']}/output.jpg"


async def test_a_single_definition_is_answered_with_a_list_too(api: Api, picture: str) -> None:
    body = {"tasks": {"task_name": "image.info", "url": picture}}
    status, answer = await api.post("/v1/create", body)
    assert (status, len(answer)) == (200, 1)


@pytest.mark.parametrize(("block", "state"), [(True, "success"), (False, "queued")])
async def test_block_chooses_whether_to_wait(api: Api, block: bool, state: str) -> None:
    body = {"tasks": [{"task_name": "hello", "name": "John"}], "block": block}
    _, [status] = await api.post("/v1/create", body)
    assert status["status"] == state


# POST /v1/create_stream


async def test_john_and_jane_are_streamed(api: Api) -> None:
    names = ["John", "Jane"]
    tasks = [{"task_name": "hello", "name": name} for name in names]
    async with api.create_stream(*tasks) as stream:
        assert (stream.status, stream.content_type) == (200, "application/x-ndjson")
        first, *lines = await read_lines(stream)
    assert [status["status"] for status in first] == ["queued", "queued"]
    for name, queued in zip(names, first, strict=True):
        own = [line for line in lines if line["key"] == queued["key"]]
        assert [line["status"] for line in own] in (["executing", "success"], ["success"])
        assert own[-1]["result"] == f"Hello {name}"
        assert all(line["events"]["queued"] == queued["events"]["queued"] for line in own)


# GET and POST /v1/status, /v1/status_stream and /v1/stream


async def create_two(api: Api) -> list[str]:
    tasks = [{"task_name": "hello", "name": name} for name in ("John", "Jane")]
    return await api.create(*tasks)


async def test_two_tasks_can_be_waited_for(api: Api) -> None:
    john, jane = await create_two(api)
    answer = await api.ask("GET", f"/v1/status?tasks={john}&tasks={jane}&block=true")
    assert [status["key"] for status in answer.json] == [john, jane]
    assert [status["result"] for status in answer.json] == ["Hello John", "Hello Jane"]


async def test_two_tasks_can_be_waited_for_with_a_post(api: Api) -> None:
    keys = await create_two(api)
    answer = await api.ask("POST", "/v1/status", json={"tasks": keys, "block": True})
    assert [status["result"] for status in answer.json] == ["Hello John", "Hello Jane"]


async def test_a_status_is_answered_at_once_without_block(api: Api) -> None:
    key = (await api.run(task_name="hello", name="John"))["key"]
    for answer in (
        await api.ask("GET", f"/v1/status?tasks={key}"),
        await api.ask("POST", "/v1/status", json={"tasks": key}),
    ):
        assert answer.status == 200
        assert [status["status"] for status in answer.json] == ["success"]


@pytest.mark.parametrize("path", ["/v1/status_stream", "/v1/stream"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_two_tasks_can_be_streamed(api: Api, path: str, method: str) -> None:
    john, jane = await create_two(api)
    options: dict[str, Any] = {"json": {"tasks": [john, jane]}}
    if method == "GET":
        options = {"params": [("tasks", john), ("tasks", jane)]}
    async with api.session.request(method, api.url + path, **options) as stream:
        assert stream.content_type == "application/x-ndjson"
        first, *lines = await read_lines(stream)
    assert [status["key"] for status in first] == [john, jane]
    newest = {status["key"]: status for status in [*first, *lines]}
    assert newest[john]["result"] == "Hello John"
    assert newest[jane]["result"] == "Hello Jane"


async def test_hundreds_of_keys_fit_into_a_query(api: Api) -> None:
    tasks = [{"task_name": "hello", "name": str(number)} for number in range(500)]
    _, statuses = await api.post("/v1/create", {"tasks": tasks})
    query = "&".join(f"tasks={status['key']}" for status in statuses)
    answer = await api.ask("GET", f"/v1/status?block=yes&{query}")
    assert [status["result"] for status in answer.json] == [f"Hello {n}" for n in range(500)]


async def test_unknown_keys_are_named(api: Api) -> None:
    [john, _] = await create_two(api)
    unknown = "6GRQ3H5EHU7GXUTIOSS2GUDPGQ"
    answer = await api.ask("GET", f"/v1/status?tasks={john}&tasks={unknown}")
    assert answer.status == 404
    [problem] = answer.json["errors"]
    assert (problem["name"], problem["location"]) == ("tasks", "query")
    assert unknown in problem["description"]
