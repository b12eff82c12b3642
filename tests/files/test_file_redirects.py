"""Redirects to output files: which name selects which file, how long a redirect is kept."""

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from dragon.http.files.caching import cache_control
from dragon.store.feed import SILENCE_SECONDS
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Answer, Api
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.usefixtures("no_bugs")


@pytest_asyncio.fixture
async def path(api: Api, origin: Origin) -> str:
    """Where a small JPEG was made."""
    final = await api.run(task_name="image.thumb", url=origin.url("rocket.jpg"), width=64)
    return str(final["result"]["output"]).removeprefix(api.url)


async def select(api: Api, key: str, filename: str) -> Answer:
    return await api.ask("GET", f"/v1/file{filename}?task={key}")


@pytest.mark.parametrize(
    "filename", ["", "/", "/output", "/output.jpg", "/cat.gif", "/%2e%2e%2fx", "/a%20b", "/%00"]
)
async def test_a_single_file_answers_to_any_name(api: Api, path: str, filename: str) -> None:
    key = path.split("/")[2]
    answer = await select(api, key, filename)
    assert (answer.status, answer.headers["Location"]) == (302, api.url + path)


@pytest.fixture
def thumbs(origin: Origin) -> dict[str, Any]:
    url = origin.url("rocket.jpg")
    sizes = {"small": {"width": 20}, "large": {"width": 40}}
    return {"task_name": "image.thumbs", "url": url, "sizes": sizes, "format": "png"}


async def test_several_files_answer_to_their_names(api: Api, thumbs: dict[str, Any]) -> None:
    final = await api.run(**thumbs)
    for name in ("small", "large"):
        for filename in (name, name + ".png"):
            answer = await select(api, final["key"], f"/{filename}")
            assert (answer.status, answer.headers["Location"]) == (302, final["result"][name])
        picture = await api.ask("GET", final["result"][name].removeprefix(api.url))
        assert int.from_bytes(picture.body[16:20]) == {"small": 20, "large": 40}[name]


@pytest.mark.parametrize(
    "filename", ["medium", "medium.png", "Small", "small.png.png", ".png", "smal", "output.png"]
)
async def test_several_files_answer_to_no_other_name(
    api: Api, thumbs: dict[str, Any], filename: str
) -> None:
    key = (await api.run(**thumbs))["key"]
    answer = await select(api, key, f"/{filename}")
    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "status": "error",
        "message": f"'{filename}' is not a valid filename, choose one of: 'small', 'large'",
    }


# How long a redirect may be kept


async def test_a_redirect_is_kept_no_longer_than_its_file(api: Api, path: str) -> None:
    file = (await api.ask("GET", path)).headers["Cache-Control"]
    answer = await select(api, path.split("/")[2], "")
    seconds = int(answer.headers["Cache-Control"].removeprefix("public, max-age="))
    assert 0 < seconds <= int(file.split("max-age=")[1].split(",")[0]) + 1


async def create_by_get(api: Api, origin: Origin, **headers: str) -> str:
    """`Cache-Control` of a redirect to a thumbnail; credentials are in the URL or in headers."""
    query = {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}
    if not headers:
        query["secret"] = SECRET
    answer = await api.ask("GET", "/v1/create_file/a.jpg", params=query, headers=headers)
    assert answer.status == 302
    return answer.headers["Cache-Control"]


async def test_a_redirect_that_a_get_creates_is_kept_while_it_is_reused(
    api: Api, origin: Origin
) -> None:
    for _ in range(2):
        caching = await create_by_get(api, origin)
        match = re.fullmatch(r"public, max-age=(\d+), stale-while-revalidate=3600", caching)
        assert match
        assert 3500 < int(match[1]) <= 3600


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Secret {SECRET}"},
        {"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE},
    ],
)
async def test_what_headers_open_is_kept_by_no_cache_that_others_share(
    api: Api, origin: Origin, headers: dict[str, str]
) -> None:
    assert (await create_by_get(api, origin, **headers)).startswith("private, max-age=3")


async def test_what_a_page_opens_with_an_api_key_is_kept_by_its_browser_alone(
    api: Api, origin: Origin
) -> None:
    query = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "api_key": API_KEY}
    options: dict[str, Any] = {"params": query, "headers": {"Referer": PAGE}}
    first = await api.ask("GET", "/v1/create_file/a.jpg", **options)
    assert first.headers["Cache-Control"].startswith("private, max-age=3")
    # The server remembers what it answered, and for which page.
    for page in ("https://evil.net/", None):
        options["headers"] = {"Referer": page} if page else {}
        assert (await api.ask("GET", "/v1/create_file/a.jpg", **options)).status == 401


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((3600, 3600, 9000), "public, max-age=3600, stale-while-revalidate=3600"),
        ((3600, 3600, 5000), "public, max-age=3600, stale-while-revalidate=1400"),
        ((3600, 3600, 3600.9), "public, max-age=3600"),
        ((3600, 3600, 60), "public, max-age=60"),
        ((3600, 0, 9000), "public, max-age=3600"),
        ((3600, 3600, 0.9), "no-store"),
        ((0.9, 3600, 9000), "no-store"),
        ((3600, 3600, -1), "no-store"),
        ((-1, 3600, 9000), "no-store"),
    ],
)
def test_a_redirect_is_never_used_longer_than_what_it_leads_to_is_there(
    seconds: tuple[float, float, float], words: str
) -> None:
    fresh, stale, left = seconds
    caching = cache_control(fresh, stale_seconds=stale, left_seconds=left)
    assert caching == words


async def test_the_answer_to_a_post_and_every_error_are_never_kept(
    api: Api, origin: Origin
) -> None:
    task = {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}
    missing = {"task_name": "image.thumb", "url": origin.url("missing")}
    path = "/v1/create_file/a.jpg"
    answers = [
        await api.ask("POST", path, json={"task": task}, headers=api.headers),
        await api.ask("POST", path, json={"task": missing}, headers=api.headers),
        await api.ask("GET", path, params=missing, headers=api.headers),
        await api.ask("GET", path, params=missing),
        await api.ask("GET", path, params={"task_name": "no"}, headers=api.headers),
        await api.ask("GET", "/v1/file/a.jpg?task=" + "A" * 26),
    ]
    assert [answer.status for answer in answers] == [302, 400, 400, 401, 400, 404]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


async def test_a_long_address_fits_into_a_query(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg") + "?signature=" + "a" * 8_000
    query = {"task_name": "image.thumb", "url": url, "width": 20}
    answer = await api.ask("GET", "/v1/create_file/a.jpg", params=query, headers=api.headers)
    assert answer.status == 302


# Answers that a server remembers


async def test_redirect_and_file_are_answered_again_while_valkey_stands_still(
    tmp_path: Path, origin: Origin
) -> None:
    with Dragon(tmp_path) as own:
        async with aiohttp.ClientSession(own.url) as session:
            first = await location(session, origin)
            picture = await content(session, first)

            async def are_answered() -> bool:
                own.valkey().send_signal(signal.SIGSTOP)
                try:
                    # Soon enough for the server to believe that it hears of all changes.
                    async with asyncio.timeout(SILENCE_SECONDS):
                        assert await location(session, origin) == first
                        assert await content(session, first) == picture
                except TimeoutError:
                    return False
                finally:
                    own.valkey().send_signal(signal.SIGCONT)
                return True

            assert await until(are_answered)


async def test_a_redirect_is_made_anew_once_it_is_reused_no_longer(
    tmp_path: Path, origin: Origin
) -> None:
    with Dragon(tmp_path, DRAGON_REUSE_SECONDS="2") as own:
        async with aiohttp.ClientSession(own.url) as session, asyncio.timeout(DEADLINE_SECONDS):
            first = await location(session, origin)
            while await location(session, origin) == first:
                pass


async def location(session: aiohttp.ClientSession, origin: Origin) -> str:
    query = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "secret": SECRET}
    path = "/v1/create_file/a.jpg"
    async with session.get(path, params=query, allow_redirects=False) as response:
        assert response.status == 302
        return response.headers["Location"]


async def content(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as response:
        assert response.status == 200
        return await response.read()
