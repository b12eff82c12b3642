"""Who may create tasks: secrets, api keys, referrers and limits, over HTTP."""

from typing import Any

import pytest

from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Answer, Api
from tests.support.broker import Broker
from tests.support.processes import Dragon

TASKS = {"tasks": {"task_name": "hello", "name": "John"}}
WRONG = {"status": "error", "message": "the credentials are missing or wrong"}
NOT_LISTED = {
    "status": "error",
    "message": "this page is not on the list of referrers of the api key",
}
NO_PAGE = {
    "status": "error",
    "message": "an api key is for pages, and the request names none: "
    "it has no Referer and no Origin",
}


async def create(
    api: Api,
    *,
    header: str | None = None,
    body: dict[str, Any] | None = None,
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    sent = dict(headers or {})
    if header is not None:
        sent["Authorization"] = header
    return await api.ask(
        "POST", "/v1/create", json=TASKS | (body or {}), params=query or {}, headers=sent
    )


# Where credentials may stand


@pytest.mark.parametrize(
    "place",
    [
        {"header": f"Secret {SECRET}"},
        {"header": f"secret   {SECRET} "},
        {"body": {"secret": SECRET}},
        {"query": {"secret": SECRET}},
        {"header": f"Api-Key {API_KEY}"},
        {"header": f"api-key {API_KEY}"},
        {"body": {"api_key": API_KEY}},
        {"query": {"api_key": API_KEY}},
    ],
)
async def test_credentials_count_in_every_place(api: Api, place: dict[str, Any]) -> None:
    assert (await create(api, **place, headers={"Referer": PAGE})).status == 200


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Secret {SECRET}"}},
        {"params": {"secret": SECRET}},
        {"params": {"api_key": API_KEY}, "headers": {"Referer": PAGE}},
    ],
)
async def test_a_get_that_creates_takes_them_too(api: Api, options: dict[str, Any]) -> None:
    path = "/v1/create_file/x?task_name=hello&name=John"
    answer = await api.ask("GET", path, **options)
    assert answer.json["message"] == "the task 'hello' made no file"


async def test_a_get_that_creates_needs_credentials(api: Api) -> None:
    answer = await api.ask("GET", "/v1/create_file/x?task_name=hello&name=John")
    assert (answer.status, answer.json) == (401, WRONG)


@pytest.mark.parametrize("path", ["/v1/create_stream", "/v1/create_file", "/v1/create_file/x"])
async def test_every_method_that_creates_needs_credentials(
    api: Api, broker: Broker, path: str
) -> None:
    before = await broker.count_jobs()
    body = {"task": TASKS["tasks"]} if "file" in path else TASKS
    answer = await api.ask("POST", path, json=body)
    assert (answer.status, answer.json) == (401, WRONG)
    assert await broker.count_jobs() == before


# Which of them counts


@pytest.mark.parametrize(
    ("places", "status"),
    [
        ({"header": "Secret wrong", "body": {"secret": SECRET}}, 401),
        ({"header": "Secret wrong", "query": {"secret": SECRET}}, 401),
        ({"header": "", "body": {"secret": SECRET}}, 401),
        ({"header": f"Basic {SECRET}", "body": {"secret": SECRET}}, 401),
        ({"header": f"Secret {SECRET}", "body": {"secret": "wrong"}}, 200),
        ({"header": f"Secret {SECRET}", "query": {"secret": "wrong"}}, 200),
        ({"body": {"secret": "wrong"}, "query": {"secret": SECRET}}, 401),
        ({"body": {"secret": None}, "query": {"secret": SECRET}}, 401),
        ({"body": {"secret": SECRET}, "query": {"secret": "wrong"}}, 200),
    ],
)
async def test_the_header_wins_over_the_body_and_the_body_over_the_query(
    api: Api, places: dict[str, Any], status: int
) -> None:
    assert (await create(api, **places)).status == status


async def test_the_account_is_that_of_the_credentials_that_win(api: Api) -> None:
    body = {"secret": SECRET, "tasks": [TASKS["tasks"]] * 6}
    assert (await create(api, header="Secret few-secret", body=body)).status == 401
    assert (await create(api, body=body, query={"secret": "few-secret"})).status == 200


# Missing and wrong ones


@pytest.mark.parametrize(
    "place",
    [
        {},
        {"header": ""},
        {"header": "Secret"},
        {"header": "Secret "},
        {"header": "Secret wrong"},
        {"header": SECRET},
        {"header": f"Bearer {SECRET}"},
        {"header": f"Secret {SECRET} {SECRET}"},
        {"header": f"Secret {SECRET.upper()}"},
        {"header": "Secret \u00e9\u00e9"},
        {"header": f"Secret {API_KEY}"},
        {"header": f"Api-Key {SECRET}"},
        {"header": "Api-Key wrong"},
        {"body": {"secret": ""}},
        {"body": {"secret": "wrong"}},
        {"body": {"secret": 5}},
        {"body": {"secret": [SECRET]}},
        {"body": {"secret": {}}},
        {"body": {"secret": API_KEY}},
        {"body": {"api_key": SECRET}},
        {"query": {"secret": ""}},
        {"query": {"secret": API_KEY}},
        {"query": {"api_key": SECRET}},
    ],
)
async def test_missing_and_wrong_credentials_get_the_same_words(
    api: Api, place: dict[str, Any]
) -> None:
    answer = await create(api, **place, headers={"Referer": PAGE})
    assert (answer.status, answer.json) == (401, WRONG)
    assert answer.headers["WWW-Authenticate"] == "Secret, Api-Key"
    assert "Retry-After" not in answer.headers


async def test_a_refused_request_queues_nothing(api: Api, broker: Broker) -> None:
    before = await broker.count_jobs()
    assert (await create(api)).status == 401
    assert (await create(api, header=f"Api-Key {API_KEY}")).status == 401
    assert await broker.count_jobs() == before


# The page that an api key is used on


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": "https://example.com/page.html"},
        {"Referer": "http://EXAMPLE.com:8080/?a=b#c"},
        {"Referer": "https://shop.example.org/"},
        {"Referer": PAGE, "Origin": "https://evil.net"},
        {"Origin": "https://example.com"},
        {"Origin": "https://a.b.example.org"},
    ],
)
async def test_an_api_key_is_good_on_listed_pages(api: Api, headers: dict[str, str]) -> None:
    assert (await create(api, header=f"Api-Key {API_KEY}", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Referer": ""},
        {"Origin": "null"},
        {"Origin": "https://evil.net"},
        {"Referer": "example.com"},
        {"Referer": "about:client"},
        {"Referer": "https://"},
        {"Referer": "https://[example.com/"},
        {"Referer": "not a page"},
        {"Referer": "https://evil.net/", "Origin": "https://example.com"},
        {"Referer": "", "Origin": "https://example.com"},
        {"Referer": "https://example.org/"},
        {"Referer": "https://www.example.com/"},
        {"Referer": "https://example.com.evil.net/"},
        {"Referer": "https://evil.net/?example.com"},
        {"Referer": "https://evil.net/example.com"},
        {"Referer": "https://evil.net/#https://example.com/"},
        {"Referer": "https://example.com@evil.net/"},
        {"Referer": "https://evil.net\\@example.com/"},
        {"Referer": "https://evil.net\\.example.org/"},
        {"Referer": "https://notexample.com/"},
        {"Referer": "https://evilexample.org/"},
        {"Referer": "ftp://example.com/"},
        {"Referer": "javascript://example.com/%0aalert(1)"},
    ],
)
async def test_an_api_key_is_refused_elsewhere(api: Api, headers: dict[str, str]) -> None:
    answer = await create(api, header=f"Api-Key {API_KEY}", headers=headers)
    assert (answer.status, answer.json) == (401, NOT_LISTED)


async def test_an_api_key_is_refused_where_no_page_is_named(api: Api) -> None:
    answer = await create(api, header=f"Api-Key {API_KEY}")
    assert (answer.status, answer.json) == (401, NO_PAGE)


async def test_a_secret_needs_no_page(api: Api) -> None:
    answer = await create(api, header=f"Secret {SECRET}", headers={"Referer": "https://evil.net/"})
    assert answer.status == 200


# Limits


async def test_an_account_over_its_queue_is_told_when_to_come_again(
    api: Api, broker: Broker
) -> None:
    before = await broker.count_jobs()
    answer = await create(api, header="Secret few-secret", body={"tasks": [TASKS["tasks"]] * 6})
    assert answer.status == 401
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json == {
        "status": "error",
        "message": "this account may have 5 tasks queued, and 6 more would be over that: "
        "split the request",
    }
    assert await broker.count_jobs() == before


async def test_an_account_over_its_rate_is_told_when_to_come_again(api: Api) -> None:
    answers = [await create(api, header="Secret slow-secret") for _ in range(6)]
    refused = next(answer for answer in answers if answer.status == 401)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.json == {
        "status": "error",
        "message": "this account may create 5 tasks a minute, and 1 more would be over that: "
        "try again later",
    }
    assert (await create(api, header="Secret other-secret")).status == 200


# Reading


async def test_whoever_has_the_key_may_read(api: Api) -> None:
    key = (await api.run(task_name="hello", name="John"))["key"]
    for headers in (
        {},
        {"Authorization": "Secret other-secret"},
        {"Authorization": "Secret wrong"},
        {"Referer": "https://evil.net/"},
    ):
        for method, path, options in (
            ("GET", f"/v1/status?tasks={key}", {}),
            ("GET", f"/v1/status?tasks={key}&block=true", {}),
            ("POST", "/v1/status", {"json": {"tasks": key}}),
            ("GET", f"/v1/status_stream?tasks={key}", {}),
            ("POST", "/v1/stream", {"json": {"tasks": [key]}}),
        ):
            answer = await api.ask(method, path, headers=headers, **options)
            assert (answer.status, answer.json[0]["result"]) == (200, "Hello John")
        answer = await api.ask("GET", f"/v1/file?task={key}", headers=headers)
        assert answer.json["message"] == "the task 'hello' made no file"


async def test_secrets_are_never_logged(api: Api, dragon: Dragon) -> None:
    await create(api, query={"secret": SECRET})
    await create(api, header=f"Api-Key {API_KEY}", headers={"Referer": PAGE})
    await create(api, query={"secret": "wrong-but-secret"})
    assert dragon.events("request")
    assert not any(word in dragon.log() for word in (SECRET, API_KEY, "wrong-but-secret"))
