"""Sources that are no pictures, cannot be had or must not be asked for: clear errors, one try."""

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

TASKS = ("image.info", "image.thumb")
REFUSED = (
    "it leads to an address or a port that is not allowed (settings fetch_allow and fetch_ports)"
)


async def failure(api: Api, broker: Broker, url: str, task: str = "image.thumb") -> str:
    """The words with which the task failed, at the first try."""
    final = await api.run(task_name=task, url=url)
    assert final["status"] == "error"
    assert final["events"].keys() == {"queued", "started", "completed"}
    assert await broker.attempts(final["key"]) == 1
    assert isinstance(final["result"], str)
    assert "Traceback" not in final["result"]
    return final["result"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"just a text",
        b"<!DOCTYPE html><html><body><img src=cat.jpg></body></html>",
        b'{"status": "error"}',
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\x00" * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_no_picture_is_told(
    api: Api, broker: Broker, origin: Origin, task: str, body: bytes
) -> None:
    origin.bodies["cat.jpeg"] = body
    url = origin.url("cat.jpeg")
    assert await failure(api, broker, url, task) == f"File '{url}' is not a valid image file"


@pytest.mark.parametrize("name", ["rocket.jpg", "chelsea.png"])
async def test_a_picture_cut_short_is_told(
    api: Api, broker: Broker, origin: Origin, name: str
) -> None:
    origin.bodies["cut"] = origin.bodies[name][:50_000]
    url = origin.url("cut")
    assert await failure(api, broker, url) == f"File '{url}' is not a valid image file"


async def test_a_source_that_is_not_there_is_told(api: Api, broker: Broker, origin: Origin) -> None:
    url = origin.url("missing.jpg")
    words = f"File '{url}' could not be fetched: the server answered 404 Not Found"
    assert await failure(api, broker, url) == words
    assert origin.hits == ["missing.jpg"]


async def test_a_redirect_loop_is_told(api: Api, broker: Broker, origin: Origin) -> None:
    async def there(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/back")

    async def back(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/there")

    origin.handlers = {"there": there, "back": back}
    url = origin.url("there")
    words = f"File '{url}' could not be fetched: it redirects in a loop"
    assert await failure(api, broker, url) == words
    assert origin.hits == ["there", "back"]


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://0.0.0.0:8000/",
        "http://127.0.0.2:8000/",
        "http://0x7f000002:8000/",
        "http://[::1]:8000/",
        "http://[::]:8000/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[fe80::1]/",
        "http://8.8.8.8:22/",
    ],
)
async def test_a_forbidden_address_is_told(api: Api, broker: Broker, url: str) -> None:
    assert await failure(api, broker, url) == f"File '{url}' could not be fetched: {REFUSED}"


async def test_a_redirect_to_a_forbidden_address_is_told(
    api: Api, broker: Broker, origin: Origin
) -> None:
    async def inward(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data/")

    origin.handlers["in"] = inward
    url = origin.url("in")
    assert await failure(api, broker, url) == f"File '{url}' could not be fetched: {REFUSED}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:word@127.0.0.1/", "its address contains a user name or password"),
        ("http://127.0.0.1\\@evil.net/", "its address "),
        ("http://127.0.0.1:99999/", "its address is malformed"),
        ("http://[::1/", "its address is malformed"),
        ("http://2130706434:8000/", "its address has no valid host"),
        ("http://nobody.invalid/", "its host name "),
    ],
)
async def test_an_address_that_leads_nowhere_is_told(api: Api, url: str, words: str) -> None:
    final = await api.run(task_name="image.thumb", url=url)
    assert final["status"] == "error"
    assert final["result"].startswith(f"File '{url}' could not be fetched: {words}")


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon that waits no longer than half a second for a source."""
    data = tmp_path_factory.mktemp("impatient")
    with Dragon(data, DRAGON_FETCH_TIMEOUT_SECONDS="0.5") as dragon:
        yield dragon


async def test_a_source_that_never_answers_is_told(impatient: Dragon, origin: Origin) -> None:
    left = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        await left.wait()
        return web.Response()

    origin.handlers["slow.jpg"] = hang
    url = origin.url("slow.jpg")
    body = {"tasks": {"task_name": "image.thumb", "url": url}, "block": True, "secret": SECRET}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session,
        session.post(impatient.url + "/v1/create", json=body) as response,
    ):
        [final] = await response.json()
    left.set()
    assert final["status"] == "error"
    assert final["result"] == (
        f"File '{url}' could not be fetched: it took longer than 0.5 seconds "
        "(setting fetch_timeout_seconds)"
    )
    # A busy machine may not even come to ask in so short a time, but nobody asks twice.
    assert origin.hits in ([], ["slow.jpg"])
