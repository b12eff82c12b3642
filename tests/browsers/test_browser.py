"""What a page can do with an api key, in a real Chromium: img tags, streams, polling."""

import re
from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.accounts import API_KEY, SECRET
from tests.support.browser import (
    LISTED,
    UNLISTED,
    Site,
    count_requests,
    needs_chromium,
    pictures,
    watch_statuses,
)
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import eventually

pytestmark = needs_chromium


async def test_img_tags_show_thumbnails(page: Page, site: Site) -> None:
    await page.goto(site.url(LISTED, "pictures.html"))
    assert await pictures(page) == [(True, 120), (True, 200), (True, 90)]


async def test_a_page_that_isolates_itself_shows_them_too(
    page: Page, site: Site, dragon: Dragon
) -> None:
    site.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    picture = f"{dragon.url}/v2/create_file?task_name=image.thumb&url={site.source}&width=70"
    site.pages["isolated.html"] = f'<img src="{picture}&amp;secret={SECRET}">'
    await page.goto(site.url("localhost", "isolated.html"))
    assert await page.evaluate("isSecureContext")
    assert await pictures(page) == [(True, 70)]


async def test_a_page_that_is_not_listed_gets_no_picture(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    # The browser keeps from a page what came for an img tag and is no picture: ask the server.
    before = count_requests(dragon, status=401)
    await page.goto(site.url(UNLISTED, "pictures.html"))
    assert await pictures(page) == [(True, 0), (True, 0), (True, 0)]
    await eventually(lambda: count_requests(dragon, status=401) - before == 3)
    assert origin.hits == []


async def test_a_hundred_img_tags_run_one_task(page: Page, site: Site, origin: Origin) -> None:
    statuses = watch_statuses(page, "/v1/create_file")
    await page.goto(site.url(LISTED, "hundred.html"))
    assert await pictures(page) == [(True, 40)] * 100
    assert statuses == [302] * 100
    assert origin.hits == ["rocket.jpg"]


@pytest.mark.parametrize(
    ("credentials", "headers", "preflights"),
    [
        ({"api_key": API_KEY}, {}, 0),
        ({}, {"Authorization": f"Api-Key {API_KEY}"}, 1),
        ({}, {"Authorization": f"Api-Key {API_KEY}", "Content-Type": "application/json"}, 1),
    ],
)
async def test_a_page_reads_a_stream_as_it_comes(
    page: Page,
    site: Site,
    dragon: Dragon,
    credentials: dict[str, str],
    headers: dict[str, str],
    preflights: int,
) -> None:
    before = count_requests(dragon, method="OPTIONS")
    await page.goto(site.url(LISTED, "stream.html"))
    ended = await page.evaluate("([a, b]) => run(a, b)", [credentials, headers])
    assert ended == {"status": 200, "seen": ["queued", "executing", "success"]}
    assert count_requests(dragon, method="OPTIONS") - before == preflights


@pytest.mark.parametrize(
    ("credentials", "headers"),
    [({"api_key": API_KEY}, {}), ({}, {"Authorization": f"Api-Key {API_KEY}"})],
)
async def test_a_page_that_is_not_listed_may_read_why_it_is_refused(
    page: Page, site: Site, credentials: dict[str, str], headers: dict[str, str]
) -> None:
    await page.goto(site.url(UNLISTED, "stream.html"))
    ended: Any = await page.evaluate("([a, b]) => run(a, b)", [credentials, headers])
    assert ended == {
        "status": 401,
        "answer": {
            "status": "error",
            "message": "this page is not on the list of referrers of the api key",
        },
    }


async def test_a_client_that_posts_text_and_polls_works_unchanged(
    page: Page, site: Site, dragon: Dragon
) -> None:
    before = count_requests(dragon, method="OPTIONS")
    await page.goto(site.url(LISTED, "xhr.html"))
    thumb = {"task_name": "image.thumb", "url": site.source, "width": 60}
    ended: Any = await page.evaluate("tasks => run(tasks)", [thumb, {"task_name": "hello"}])
    assert [one["status"] for one in ended] == ["success", "error"]
    assert ended[0]["result"]["width"] == 60
    assert ended[1]["error"] == {"parameters": {"name": ["this field is required"]}}
    assert count_requests(dragon, method="OPTIONS") == before


async def test_what_the_documentation_writes_without_a_module_works_as_it_stands(
    page: Page, site: Site, dragon: Dragon
) -> None:
    document = (ROOT / "docs" / "browsers.md").read_text("utf-8")
    text = document.replace("https://dragon.example.com", dragon.url).replace("654321", API_KEY)
    by_events, by_requests = [
        code
        for code in re.findall(r"```js\n(.*?)```", text, re.DOTALL)
        if "new EventSource" in code or "new XMLHttpRequest" in code
    ]
    await page.goto(site.url(LISTED, "xhr.html"))
    await page.evaluate("window.told = []; window.show = (status) => told.push(status); 0")
    has_ended = "told.at(-1)?.result === 'Hello Jane'"
    await page.add_script_tag(content=by_requests)
    await page.wait_for_function(has_ended)
    await page.evaluate("window.key = told.pop().key; told.length = 0")
    await page.add_script_tag(content=by_events)
    await page.wait_for_function(has_ended)
    await page.wait_for_function("source.readyState === EventSource.CLOSED")


async def test_a_client_on_another_page_is_told_why_it_is_refused(page: Page, site: Site) -> None:
    await page.goto(site.url(UNLISTED, "xhr.html"))
    ended: Any = await page.evaluate("run({task_name: 'hello', name: 'you'})")
    assert ended["status"] == 401
    assert ended["answer"]["message"] == "this page is not on the list of referrers of the api key"
