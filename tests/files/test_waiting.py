"""create_file with `wait` and `fallback`: what a request gets whose task takes longer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import web

from dragon.signing import sign_url
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Answer, Api
from tests.support.broker import Broker
from tests.support.origin import Origin
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_bugs")

CREATE_FILE = "/v2/create_file/cat.jpg"


class Slow:
    """A picture that the source does not give before the test says so."""

    def __init__(self, origin: Origin) -> None:
        self.url = origin.url("slow.jpg")
        self.may_come = asyncio.Event()
        self._picture = origin.bodies["rocket.jpg"]
        origin.handlers["slow.jpg"] = self._serve

    def query(self, **query: Any) -> dict[str, Any]:
        return {"task_name": "image.thumb", "url": self.url, "width": 40, "height": 30, **query}

    async def _serve(self, _: web.Request) -> web.Response:
        await self.may_come.wait()
        return web.Response(body=self._picture)


@pytest_asyncio.fixture
async def slow(origin: Origin) -> AsyncIterator[Slow]:
    slow = Slow(origin)
    yield slow
    slow.may_come.set()


async def get(api: Api, query: dict[str, Any], path: str = CREATE_FILE, **headers: str) -> Answer:
    return await api.ask("GET", path, params=query, headers=headers or api.headers)


async def post(api: Api, **body: Any) -> Answer:
    return await api.ask("POST", CREATE_FILE, json=body, headers=api.headers)


def is_placeholder(api: Api, answer: Answer) -> bool:
    return answer.headers.get("Location") == f"{api.url}/placeholder/40x30.svg"


def check_is_passing(answer: Answer) -> None:
    """Nobody keeps it, and it says when to come again."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Retry-After"]) > 0


# What comes instead


@pytest.mark.parametrize("wait", ["0", "0.1", "1e-1"])
async def test_a_placeholder_comes_instead_and_the_picture_later(
    api: Api, broker: Broker, origin: Origin, slow: Slow, wait: str
) -> None:
    before = await broker.count_jobs()
    for _ in range(3):
        answer = await get(api, slow.query(wait=wait, fallback="placeholder"))
        assert answer.status == 302
        assert is_placeholder(api, answer)
        check_is_passing(answer)
    slow.may_come.set()
    answer = await get(api, slow.query(wait="60", fallback="placeholder"))
    assert "/files/" in answer.headers["Location"]
    assert "max-age" in answer.headers["Cache-Control"]
    assert await broker.count_jobs() == before + 1
    assert origin.hits == ["slow.jpg"]


async def test_the_task_goes_on_though_nobody_asks_again(
    api: Api, broker: Broker, slow: Slow
) -> None:
    answer = await get(api, slow.query(wait="0"))
    slow.may_come.set()
    [status] = (await api.get(f"/v2/status?tasks={answer.json['key']}&block=true"))[1]
    assert status["status"] == "success"


async def test_a_task_that_is_quick_enough_needs_no_fallback(api: Api, origin: Origin) -> None:
    query = {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}
    answer = await get(api, {**query, "wait": "60", "fallback": "placeholder"})
    assert "/files/" in answer.headers["Location"]


async def test_without_a_fallback_the_error_names_the_key(api: Api, slow: Slow) -> None:
    answer = await get(api, slow.query(wait="0.05"))
    assert answer.status == 503
    check_is_passing(answer)
    assert len(answer.json.pop("key")) == 26
    words = "the task has not ended in 0.05 seconds, and goes on"
    assert {**answer.json, "key": 0} == {"status": "error", "message": words, "key": 0}
    assert (await get(api, slow.query(wait="0", fallback="error"))).status == 503


async def test_with_a_fallback_and_no_wait_a_setting_says_how_long(api: Api, slow: Slow) -> None:
    began = asyncio.get_running_loop().time()
    assert is_placeholder(api, await get(api, slow.query(fallback="placeholder")))
    assert asyncio.get_running_loop().time() - began > 0.49


async def test_a_post_says_the_same_beside_its_task(api: Api, slow: Slow) -> None:
    answer = await post(api, task=slow.query(), wait=0, fallback="placeholder")
    assert answer.status == 302
    assert is_placeholder(api, answer)
    check_is_passing(answer)
    assert (await post(api, task=slow.query(), wait=0.05)).status == 503
    slow.may_come.set()
    answer = await post(api, task=slow.query(), wait=60, fallback="placeholder")
    assert "/files/" in answer.headers["Location"]


async def test_the_first_version_takes_them_too(api: Api, slow: Slow) -> None:
    query = slow.query(wait="0", fallback="placeholder")
    assert is_placeholder(api, await get(api, query, "/v1/create_file"))


async def test_a_partial_result_that_holds_the_file_ends_the_wait(api: Api, gate: Any) -> None:
    query = {"task_name": "site.partial", "path": str(gate.path), "fallback": "placeholder"}
    try:
        answer = await get(api, query | {"wait": "0"}, "/v2/create_file/none")
        assert "/placeholder/" in answer.headers["Location"]

        async def has_first() -> bool:
            answer = await get(api, query | {"wait": "1"}, "/v2/create_file/first")
            return "/files/" in answer.headers["Location"]

        assert await until(has_first)
    finally:
        gate.open()


async def test_a_task_that_fails_in_time_is_told_as_ever(api: Api, origin: Origin) -> None:
    query = {"task_name": "image.thumb", "url": origin.url("none"), "fallback": "placeholder"}
    answer = await get(api, query | {"wait": "60"})
    assert (answer.status, answer.json["status"]) == (400, "error")


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        ("-1", "wait must be a number of seconds from 0 to 60"),
        ("61", "wait must be a number of seconds from 0 to 60"),
        ("nan", "wait must be a number of seconds from 0 to 60"),
        ("soon", "wait must be a number of seconds from 0 to 60"),
        ("", "wait must be a number of seconds from 0 to 60"),
    ],
)
async def test_a_wait_that_is_none_is_refused(api: Api, slow: Slow, wait: str, words: str) -> None:
    answer = await get(api, slow.query(wait=wait))
    assert answer.status == 400
    assert answer.json["errors"] == [{"name": "wait", "location": "query", "description": words}]


@pytest.mark.parametrize("wait", [-1, 61, "1", True, [1], 1e300])
async def test_a_wait_in_a_body_is_a_number(api: Api, slow: Slow, wait: Any) -> None:
    answer = await post(api, task=slow.query(), wait=wait)
    assert answer.status == 400
    assert answer.json["errors"][0]["name"] == "wait"


# Where else a fallback may lead


LISTED = "https://example.com/wait.png"
ELSEWHERE = "https://elsewhere.example.net/wait.png?a=b#c"


@pytest.mark.parametrize(
    "fallback", [LISTED, ELSEWHERE, "http://127.0.0.1:9/x", "HTTPS://a.b.:65535?a"]
)
async def test_with_a_secret_any_address_may_be_the_fallback(
    api: Api, slow: Slow, fallback: str
) -> None:
    query = slow.query(wait="0", fallback=fallback)
    answers = [
        await get(api, query),
        await get(api, query | {"secret": SECRET}, Accept="*/*"),
        await post(api, task=slow.query(), wait=0, fallback=fallback),
    ]
    for answer in answers:
        assert (answer.status, answer.headers["Location"]) == (302, fallback)
        check_is_passing(answer)


async def test_with_a_signature_the_address_that_was_signed_is_the_fallback(
    api: Api, slow: Slow
) -> None:
    query = urlencode(slow.query(wait="0", fallback=ELSEWHERE))
    signed = sign_url(f"{CREATE_FILE}?{query}", account="acme", secret=SECRET)
    assert (await api.ask("GET", signed)).headers["Location"] == ELSEWHERE
    assert (await api.ask("GET", signed.replace("elsewhere", "nowhere"))).status == 401


@pytest.mark.parametrize(
    ("fallback", "is_allowed"),
    [
        (LISTED, True),
        ("https://a.example.org/x.png", True),
        ("placeholder", True),
        (ELSEWHERE, False),
        ("https://example.com.evil.net/", False),
        ("https://example.com@evil.net/", False),
        ("https://evil.net/?https://example.com/", False),
        ("https://evil.net#.example.org/", False),
        ("https://example.org/x.png", False),
        ("http://example.com:80:80/", False),
    ],
)
async def test_with_an_api_key_only_its_own_pages_may_be_the_fallback(
    api: Api, broker: Broker, slow: Slow, fallback: str, *, is_allowed: bool
) -> None:
    before = await broker.count_jobs()
    query = slow.query(wait="0", fallback=fallback, api_key=API_KEY)
    answer = await get(api, query, Referer=PAGE)
    assert answer.status == (302 if is_allowed else 400)
    assert await broker.count_jobs() == before + is_allowed
    body = {"task": slow.query(), "wait": 0, "fallback": fallback, "api_key": API_KEY}
    answer = await api.ask("POST", CREATE_FILE, json=body, headers={"Referer": PAGE})
    assert answer.status == (302 if is_allowed else 400)


@pytest.mark.parametrize(
    "fallback",
    [
        "none",
        "/placeholder/1x1.svg",
        "//evil.net/",
        "javascript:alert(1)",
        "data:image/png;base64,",
        "https:evil.net",
        "https:\\\\evil.net",
        "https://a\\@b/",
        "https://user:password@a/",
        "https://a:65536/",
        "https://[::1]/",
        "https://[a/",
        "https://a..b/",
        "https:///a",
        "https://%61/",
        "https://a/\r\nSet-Cookie: a=b",
        "https://a/ b",
        "https://ex\u00e4mple.com/",
        " https://a/",
    ],
)
async def test_what_is_no_plain_address_is_never_the_fallback(
    api: Api, broker: Broker, slow: Slow, fallback: str
) -> None:
    before = await broker.count_jobs()
    answer = await get(api, slow.query(wait="0", fallback=fallback))
    assert answer.status == 400
    assert answer.json["errors"][0]["name"] == "fallback"
    assert (await post(api, task=slow.query(), wait=0, fallback=fallback)).status == 400
    assert await broker.count_jobs() == before


async def test_nobody_without_credentials_is_led_anywhere(api: Api, slow: Slow) -> None:
    for fallback in ("placeholder", LISTED):
        query = slow.query(wait="0", fallback=fallback)
        assert (await get(api, query, Accept="*/*")).status == 401
