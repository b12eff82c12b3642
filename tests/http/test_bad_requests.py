"""Requests whose names, types, keys or task definitions are wrong: all problems, told in words."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Answer, Api
from tests.support.broker import Broker

pytestmark = pytest.mark.usefixtures("no_bugs")

JOHN = {"task_name": "hello", "name": "John"}
UNKNOWN = "A" * 26
ONE_DEFINITION = "a task definition must be an object"
NO_KEYS = "tasks must be a task key or a list of them"


def problems(answer: Answer) -> list[tuple[str, str, str]]:
    """Name, location and description of each."""
    assert answer.headers["Content-Type"].startswith("application/json")
    assert b"Traceback" not in answer.body
    assert answer.json.keys() == {"status", "errors"}
    assert answer.json["status"] == "error"
    assert all(
        problem.keys() == {"name", "location", "description"} for problem in answer.json["errors"]
    )
    return [
        (problem["name"], problem["location"], problem["description"])
        for problem in answer.json["errors"]
    ]


async def post(api: Api, body: Any, path: str = "/v1/create") -> Answer:
    return await api.ask("POST", path, json=body, headers=api.headers)


# Names and types


@pytest.mark.parametrize(
    ("body", "name", "description"),
    [
        ({}, "tasks", "tasks is missing"),
        ({"tasks": None}, "tasks", "tasks is missing"),
        ({"tasks": []}, "tasks", "tasks is empty, at least one task is needed"),
        ({"tasks": 5}, "tasks", f"tasks: {ONE_DEFINITION}"),
        ({"tasks": "hello"}, "tasks", f"tasks: {ONE_DEFINITION}"),
        ({"tasks": True}, "tasks", f"tasks: {ONE_DEFINITION}"),
        ({"tasks": [None]}, "tasks", f"tasks: {ONE_DEFINITION}"),
        ({"tasks": [JOHN, "hello"]}, "tasks", f"tasks[1]: {ONE_DEFINITION}"),
        ({"tasks": [JOHN, [JOHN]]}, "tasks", f"tasks[1]: {ONE_DEFINITION}"),
        ({"tasks": {}}, "tasks", "tasks: task_name is missing"),
        ({"tasks": {"task_name": None}}, "tasks", "tasks: task_name is missing"),
        ({"tasks": {"task_name": 5}}, "tasks", "tasks: task_name must be a string"),
        ({"tasks": {"task_name": ["hello"]}}, "tasks", "tasks: task_name must be a string"),
        ({"tasks": JOHN, "block": "true"}, "block", "block must be true or false"),
        ({"tasks": JOHN, "block": 1}, "block", "block must be true or false"),
        ({"tasks": JOHN, "block": []}, "block", "block must be true or false"),
        (
            {"tasks": JOHN, "blokc": True},
            "blokc",
            "blokc is unknown, choose among: secret, api_key, tasks, block",
        ),
        (
            {"tasks": JOHN, "task": JOHN},
            "task",
            "task is unknown, choose among: secret, api_key, tasks, block",
        ),
    ],
)
async def test_a_wrong_parameter_is_described(
    api: Api, broker: Broker, body: Any, name: str, description: str
) -> None:
    before = await broker.count_jobs()
    answer = await post(api, body)
    assert answer.status == 400
    assert problems(answer) == [(name, "body", description)]
    assert await broker.count_jobs() == before


async def test_all_problems_are_told_at_once(api: Api) -> None:
    body = {"tasks": [JOHN, 5, {}, {"task_name": "nothing"}], "block": "yes", "x": 1, "": 2}
    answer = await post(api, body)
    assert answer.status == 400
    found = problems(answer)
    assert [name for name, _, _ in found] == ["tasks", "tasks", "tasks", "block", "x", ""]
    places = [description.partition(":")[0] for _, _, description in found[:3]]
    assert places == ["tasks[1]", "tasks[2]", "tasks[3]"]


async def test_a_body_of_thousands_of_unknown_names_gets_no_answer_of_thousands_of_lines(
    api: Api,
) -> None:
    body = {"tasks": ["A" * 26]} | {str(number): 0 for number in range(10_000)}
    answer = await post(api, body, "/v1/status")
    assert (answer.status, len(problems(answer))) == (400, 100)


@pytest.mark.parametrize(
    ("body", "name", "description"),
    [
        ({}, "task", "task is missing"),
        ({"task": [JOHN]}, "task", f"task: {ONE_DEFINITION}"),
        ({"task": "hello"}, "task", f"task: {ONE_DEFINITION}"),
        ({"task": {}}, "task", "task: task_name is missing"),
    ],
)
async def test_a_wrong_task_of_a_file_is_described(
    api: Api, body: Any, name: str, description: str
) -> None:
    answer = await post(api, body, "/v1/create_file/cat.jpg")
    assert answer.status == 400
    assert problems(answer) == [(name, "body", description)]


async def test_a_stream_or_a_file_has_no_block(api: Api) -> None:
    for path, body in (("/v1/create_stream", {"tasks": JOHN}), ("/v1/create_file", {"task": JOHN})):
        [(name, _, _)] = problems(await post(api, body | {"block": True}, path))
        assert name == "block"


# Task names


@pytest.mark.parametrize(
    "name", ["", "nothing", "Hello", "hello ", "a\x00b", "é" * 50, "__class__", "x" * 10_000]
)
async def test_an_unknown_task_refuses_the_whole_request(
    api: Api, broker: Broker, name: str
) -> None:
    before = await broker.count_jobs()
    for path in ("/v1/create", "/v1/create_stream"):
        answer = await post(api, {"tasks": [JOHN, {"task_name": name}, JOHN]}, path)
        assert answer.status == 400
        [(_, _, description)] = problems(answer)
        assert description.startswith(f"tasks[1]: unknown task_name {name[:100]!r}, choose one of")
        assert "choose one of: audio.beats, " in description
        assert len(answer.body) < 2_000
    assert await broker.count_jobs() == before


async def test_a_get_names_its_task(api: Api, broker: Broker) -> None:
    before = await broker.count_jobs()
    for query, words in (
        ("url=x", "task_name is missing"),
        ("task_name=nothing", "unknown task_name 'nothing', choose one of: audio.beats,"),
        ("task_name=", "unknown task_name '', choose one of: audio.beats,"),
    ):
        answer = await api.ask("GET", f"/v1/create_file/cat.jpg?{query}", headers=api.headers)
        assert answer.status == 400
        [(name, location, description)] = problems(answer)
        assert (name, location) == ("task_name", "query")
        assert description.startswith(words)
    assert await broker.count_jobs() == before


# How many


async def test_ten_thousand_tasks_over_a_limit_queue_nothing(api: Api, broker: Broker) -> None:
    before = await broker.count_jobs()
    for secret, limit in (("few-secret", "5 tasks queued"), ("slow-secret", "5 tasks a minute")):
        body = {"secret": secret, "tasks": [JOHN] * 10_000}
        answer = await api.ask("POST", "/v1/create", json=body)
        assert answer.status == 401
        assert limit in answer.json["message"]
        assert int(answer.headers["Retry-After"]) >= 1
    assert await broker.count_jobs() == before


async def test_more_tasks_or_keys_than_a_request_may_have_are_refused(
    api: Api, broker: Broker
) -> None:
    before = await broker.count_jobs()
    limit = "more than 10000 {} in one request (max_tasks_per_request)"
    answer = await post(api, {"tasks": [JOHN] * 10_001})
    assert answer.status == 400
    assert problems(answer) == [("tasks", "body", limit.format("tasks"))]
    answer = await post(api, {"tasks": [UNKNOWN] * 10_001}, "/v1/status")
    assert answer.status == 400
    assert problems(answer) == [("tasks", "body", limit.format("keys"))]
    assert await broker.count_jobs() == before


# Keys

MALFORMED = [
    "",
    "A",
    UNKNOWN.lower(),
    UNKNOWN + "A",
    UNKNOWN + "\n",
    " " + UNKNOWN,
    UNKNOWN[:-1] + "1",
    UNKNOWN[:-1] + "\x00",
    UNKNOWN[:-1] + "Å",
    "{0}:queued" + "A" * 16,
    "../" * 8 + "AA",
    "*",
    "a" * 5_000,
]


@pytest.mark.parametrize("key", [UNKNOWN, *MALFORMED], ids=lambda key: repr(key[:30]))
async def test_a_key_that_is_none_is_unknown(api: Api, key: str) -> None:
    query = quote(key, safe="")
    name = f"task {key[:100]!r} is unknown or has expired"
    for path in ("/v1/status", "/v1/status_stream", "/v1/stream"):
        answer = await api.ask("GET", f"{path}?tasks={query}")
        assert (answer.status, problems(answer)) == (404, [("tasks", "query", name)])
        answer = await post(api, {"tasks": [key]}, path)
        assert (answer.status, problems(answer)) == (404, [("tasks", "body", name)])
    answer = await api.ask("GET", f"/v1/status?tasks={query}&block=true")
    assert (answer.status, problems(answer)) == (404, [("tasks", "query", name)])


@pytest.mark.parametrize("key", [UNKNOWN, *MALFORMED[1:]], ids=lambda key: repr(key[:30]))
async def test_the_file_of_a_key_that_is_none_is_unknown(api: Api, key: str) -> None:
    answer = await api.ask("GET", f"/v1/file/cat.jpg?task={quote(key, safe='')}")
    assert answer.status == 404
    name = f"task {key[:100]!r} is unknown or has expired"
    assert problems(answer) == [("task", "query", name)]


async def test_each_unknown_key_is_named_once(api: Api) -> None:
    known = (await api.run(**JOHN))["key"]
    keys = [UNKNOWN, known, "malformed", UNKNOWN, "malformed"]
    for path in ("/v1/status", "/v1/stream"):
        answer = await post(api, {"tasks": keys}, path)
        assert answer.status == 404
        named = [description.split("'")[1] for _, _, description in problems(answer)]
        assert named == [UNKNOWN, "malformed"]


@pytest.mark.parametrize("value", [5, True, {}, {"key": UNKNOWN}, [5], [[UNKNOWN]], [None]])
async def test_keys_of_a_wrong_type_are_described(api: Api, value: Any) -> None:
    for path in ("/v1/status", "/v1/status_stream", "/v1/stream"):
        answer = await post(api, {"tasks": value}, path)
        assert answer.status == 400
        assert problems(answer) == [("tasks", "body", NO_KEYS)]


async def test_missing_keys_are_described(api: Api) -> None:
    for path in ("/v1/status", "/v1/status_stream", "/v1/stream"):
        for body in ('{"tasks": null}', '{"tasks": []}'):
            answer = await api.ask("POST", path, data=body)
            assert problems(answer) == [("tasks", "body", "tasks is missing")]
        answer = await api.ask("GET", path)
        assert problems(answer) == [("tasks", "query", "tasks is missing")]
    answer = await api.ask("GET", "/v1/file/cat.jpg")
    assert problems(answer) == [("task", "query", "task is missing")]
    answer = await api.ask("GET", f"/v1/file?task={UNKNOWN}&task={UNKNOWN}")
    assert problems(answer) == [("task", "query", "task must be one task key")]


@pytest.mark.parametrize("text", ["", "2", "on", "null", "truee", "[]", "\x00"])
async def test_a_block_that_is_no_boolean_is_described(api: Api, text: str) -> None:
    answer = await api.ask("GET", f"/v1/status?tasks={UNKNOWN}&block={quote(text)}")
    assert answer.status == 400
    right = "block must be true, false, 1, 0, yes or no"
    assert problems(answer) == [("block", "query", right)]
