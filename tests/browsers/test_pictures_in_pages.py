"""What img tags of a page show while a picture is made, where it cannot be, and by a signature."""

import asyncio
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from playwright.async_api import Page

from dragon.signing import sign_url
from tests.support.accounts import API_KEY, SECRET
from tests.support.browser import LISTED, UNLISTED, Site, needs_chromium, watch_statuses
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon

pytestmark = needs_chromium

PATH = "/v2/create_file/cat.jpg"
SHOW = """url => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
    image.onerror = () => resolve("broken");
    image.src = url;
    document.body.append(image);
})"""


def query(origin: Origin, name: str = "rocket.jpg", **more: Any) -> str:
    """A thumbnail of 90x50 pixels."""
    task = {"task_name": "image.thumb", "url": origin.url(name), "width": 90, "height": 50}
    return f"{PATH}?{urlencode({**task, 'crop': 'true', **more})}"


def hold(origin: Origin, name: str) -> asyncio.Event:
    """The source gives a picture of that name once the event is set."""
    may_come = asyncio.Event()

    async def serve(_: web.Request) -> web.Response:
        await may_come.wait()
        return web.Response(body=origin.bodies["rocket.jpg"])

    origin.handlers[name] = serve
    return may_come


async def test_a_placeholder_is_shown_until_the_picture_is_there(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    may_come = hold(origin, "slow.jpg")
    placeholders, files = watch_statuses(page, "/placeholder/"), watch_statuses(page, "/files/")
    await page.goto(site.url(LISTED, "stream.html"))
    asked = dragon.url + query(origin, "slow.jpg", fallback="placeholder", api_key=API_KEY, wait=0)
    assert await page.evaluate(SHOW, asked) == [90, 50]
    assert (placeholders, files) == ([200], [])
    may_come.set()
    await page.evaluate(SHOW, asked.replace("wait=0", "wait=60"))
    # The very URL that led to the placeholder: no cache kept where it led.
    assert await page.evaluate(SHOW, asked + "#again") == [90, 50]
    assert (len(placeholders), files[:1]) == (1, [200])
    assert origin.hits == ["slow.jpg"]


async def test_a_page_that_asks_again_as_the_documentation_does_shows_the_picture_at_last(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    may_come = hold(origin, "slow.jpg")
    document = (ROOT / "docs" / "pictures-in-pages.md").read_text("utf-8")
    [function] = re.findall(r"```js\n(async function show.*?)```", document, re.DOTALL)
    await page.goto(site.url(LISTED, "stream.html"))
    asked = dragon.url + query(origin, "slow.jpg", fallback="placeholder", api_key=API_KEY, wait=0)
    asked = asked.replace("width=90", "width=91").replace("crop=true", "crop=false")
    await page.add_script_tag(content=f"document.body.append(new Image()); {function}")
    shown = asyncio.create_task(page.evaluate("url => show(document.images[0], url)", asked))
    await page.wait_for_function("document.images[0].naturalWidth == 91")
    may_come.set()
    await shown
    await page.wait_for_function("document.images[0].src.includes('/files/')")
    await page.wait_for_function("document.images[0].naturalWidth > 0")
    # As where the picture lies in a store that pages may show from, but not read.
    await page.evaluate("window.fetch = () => Promise.reject(new TypeError('no')); 0")
    await page.evaluate("url => show(document.images[0], url)", asked)
    assert await page.evaluate("document.images[0].src") == asked


@pytest.mark.parametrize(
    ("host", "more", "status"),
    [
        (LISTED, {"rotation": 7}, 400),
        (LISTED, {"name": "slow.jpg", "wait": 0}, 503),
        (UNLISTED, {}, 401),
    ],
)
async def test_an_error_is_shown_as_a_picture_though_it_has_the_status_of_one(
    page: Page, site: Site, dragon: Dragon, origin: Origin, host: str, more: Any, status: int
) -> None:
    may_come = hold(origin, "slow.jpg")
    statuses = watch_statuses(page, PATH)
    await page.goto(site.url(host, "stream.html"))
    asked = dragon.url + query(origin, api_key=API_KEY, **more)
    assert await page.evaluate(SHOW, asked) == "broken"
    assert await page.evaluate(SHOW, asked + "&error=image") == [90, 50]
    # The browser keeps to itself what came for an img tag and is no picture.
    assert statuses == [status]
    may_come.set()


async def test_a_page_that_is_not_listed_shows_what_was_signed(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    await page.goto(site.url(UNLISTED, "stream.html"))
    signed = dragon.url + sign_url(query(origin), account="acme", secret=SECRET)
    assert await page.evaluate(SHOW, signed) == [90, 50]
    assert await page.evaluate(SHOW, signed.replace("width=90", "width=91")) == "broken"


async def test_a_browser_gets_the_newest_format_that_it_knows(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    types: list[str] = []
    page.on("response", lambda answer: types.append(answer.headers.get("content-type", "")))
    await page.goto(site.url(LISTED, "stream.html"))
    asked = dragon.url + query(origin, format="auto", api_key=API_KEY)
    assert await page.evaluate(SHOW, asked) == [90, 50]
    assert types[-1] == "image/avif"
