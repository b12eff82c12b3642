"""The OpenAPI document of the server, and its list of tasks."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from dragon.engine.definitions import read_definition
from dragon.registry import Registry
from tests.examples import definitions
from tests.support.accounts import API_KEY, PAGE
from tests.support.api import Api
from tests.support.routes import routes

DOCUMENTS = ("/v2/openapi.json", "/v2/tasks", "/v2/tasks/hello")


@pytest_asyncio.fixture
async def document(api: Api) -> dict[str, Any]:
    status, document = await api.get("/v2/openapi.json")
    assert status == 200
    assert isinstance(document, dict)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_document_is_one_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_each_route_has_a_description_and_each_description_a_route(
    document: dict[str, Any],
) -> None:
    described = [f"{method} {path}" for method, path, _ in operations(document)]
    assert sorted(described) == sorted(routes())


def test_each_operation_has_a_name_of_its_own_and_each_parameter_of_a_path_is_told(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len({*names}) == len(names)
    # Generated clients make other underscores of their own.
    assert all(re.fullmatch("[A-Za-z0-9]+(_[A-Za-z0-9]+)*", name) for name in names)
    for _, path, operation in operations(document):
        told = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"]
        assert sorted(told) == sorted(re.findall(r"{(\w+)}", path))


def test_what_is_posted_at_the_end_of_a_task_is_told(document: dict[str, Any]) -> None:
    hook = document["webhooks"]["task_ended"]["post"]
    assert [one["name"] for one in hook["parameters"]] == [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    [content] = hook["requestBody"]["content"].values()
    assert content["schema"] == {"$ref": "#/components/schemas/Status"}


def test_a_definition_is_one_of_all_tasks_told_apart_by_their_name(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    assert {*schemas["TaskDefinition"]["discriminator"]["mapping"]} >= {*definitions()}
    validator = Draft202012Validator(
        {**schemas["TaskDefinition"], "components": {"schemas": schemas}}
    )
    for example in definitions().values():
        store = {"task_store": {"type": "volatile"}, "task_metas": {"any": ["thing"]}}
        validator.validate(example["definition"] | store)
        assert not validator.is_valid(example["definition"] | {"task_name": "no.such"})
        assert not validator.is_valid(example["definition"] | {"no_such_parameter": 1})


def test_where_a_file_is_created_its_format_may_be_auto(document: dict[str, Any]) -> None:
    components = {"components": document["components"]}
    body = document["components"]["schemas"]["CreateFileBody"]["properties"]["task"]
    [query] = (
        parameter["schema"]
        for parameter in document["paths"]["/v2/create_file"]["get"]["parameters"]
        if parameter["name"] == "definition"
    )
    thumb = {"task_name": "image.thumb", "url": "http://example.com/cat.jpg"}
    for schema in (body, query):
        validator = Draft202012Validator(schema | components)
        validator.validate(thumb)
        validator.validate(thumb | {"format": "auto"})
        assert not validator.is_valid(thumb | {"format": "bmp"})


@pytest.mark.parametrize(
    "store",
    [
        {},
        {"type": "persistent"},
        {"type": "volatile", "url": None},
        {"type": "s3_signed", "url": "https://example.com/put"},
        {"url": "https://example.com/put"},
        {"type": "volatile", "url": "https://example.com/put"},
        {"type": "s3_signed"},
        {"type": "s3_signed", "url": None},
        {"type": "s3_signed", "url": "ftp://example.com"},
        {"type": "elsewhere"},
        "volatile",
    ],
)
def test_the_document_takes_the_storage_that_the_server_takes(
    document: dict[str, Any], store: Any
) -> None:
    schemas = document["components"]["schemas"]
    validator = Draft202012Validator(
        schemas["TaskDefinition"] | {"components": {"schemas": schemas}}
    )
    definition = {"task_name": "hello", "name": "you", "task_store": store}
    problems = read_definition(Registry.load(["tasks"]), definition).problems
    assert validator.is_valid(definition) == (not problems)


async def test_the_document_names_the_fields_of_bodies_as_the_server_does(
    api: Api, document: dict[str, Any]
) -> None:
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        address = re.sub(r"{\w+}", "x", path)
        answer = await api.ask(method, address, json={"no_such": 1}, headers=api.headers)
        assert answer.status == 400, address
        [known] = [
            problem["description"].partition("choose among: ")[2].split(", ")
            for problem in answer.json["errors"]
            if problem["name"] == "no_such"
        ]
        assert {*known} == {*schema["properties"]}, address


async def test_each_route_asks_for_the_credentials_that_it_tells_of(
    api: Api, document: dict[str, Any]
) -> None:
    page = {"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE}
    for method, path, operation in operations(document):
        body: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
        address = re.sub(r"{\w+}", "x", path)
        needed = {name for one in operation["security"] for name in one}
        answer = await api.ask(method, address, **body)
        assert (answer.status == 401) == bool(needed), path
        answer = await api.ask(method, address, headers=page, **body)
        assert (answer.status == 401) == bool(needed and "query_api_key" not in needed), path


async def test_all_tasks_are_described_each_as_by_its_name(api: Api) -> None:
    status, tasks = await api.get("/v2/tasks")
    assert status == 200
    registry = Registry.load(["tasks", "tests.site_tasks"])
    assert [task["name"] for task in tasks] == [task.name for task in registry]
    for task in tasks:
        assert await api.get(f"/v2/tasks/{task['name']}") == (200, task)
        assert task["kind"] == registry.find(task["name"]).kind
        assert task["timeout_seconds"] == registry.find(task["name"]).timeout_seconds


async def test_an_unknown_task_is_answered_with_the_names_that_there_are(api: Api) -> None:
    status, answer = await api.get("/v2/tasks/no.such")
    assert (status, answer["status"]) == (404, "error")
    assert "no.such" in answer["message"]
    assert "hello" in answer["message"]


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_what_is_known_already_is_not_sent_again(api: Api, path: str) -> None:
    first = await api.ask("GET", path)
    assert first.status == 200
    assert first.headers["Cache-Control"] == "public, max-age=60"
    for tags in (first.headers["ETag"], f'"other", W/{first.headers["ETag"]}', "*"):
        again = await api.ask("GET", path, headers={"If-None-Match": tags})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    other = await api.ask("GET", path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, first.body)
    assert other.headers["Access-Control-Allow-Origin"] == "*"
