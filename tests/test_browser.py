"""What a page can do with an api key, in a real Chromium: img tags and streams."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, Response, async_playwright

from tests.conftest import Origin
from tests.support import API_KEY, DEADLINE_SECONDS, Dragon, eventually

PAGES = Path(__file__).parent / "pages"
LISTED = "page.example.org"
UNLISTED = "evil.example.net"

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {LISTED} 127.0.0.1, MAP {UNLISTED} 127.0.0.1",
]

# Where every change is tested there is a browser: there, one that is missing is a failure.
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)

Picture = tuple[bool, int]


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    assert CHROMIUM, "there is no Chromium on this machine: install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        yield page
        await browser.close()


class Site:
    """A web site whose pages use the shared Dragon; POST /open opens the gate of its tasks."""

    def __init__(self, dragon: Dragon, source: str, gate: Path) -> None:
        self.gate = gate
        self._words = {
            "dragon": dragon.url,
            "source": source,
            "api_key": API_KEY,
            "gate": str(gate),
        }
        app = web.Application()
        app.router.add_get("/{name}", self._serve)
        app.router.add_post("/open", self._open)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, host: str, name: str) -> str:
        return f"http://{host}:{self.server.port}/{name}"

    async def _serve(self, request: web.Request) -> web.Response:
        path = PAGES / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        text = Template(path.read_text()).substitute(self._words)
        return web.Response(text=text, content_type="text/html")

    async def _open(self, _: web.Request) -> web.Response:
        self.gate.touch()
        return web.Response()


@pytest_asyncio.fixture
async def site(dragon: Dragon, origin: Origin, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(dragon, origin.url("rocket.jpg"), tmp_path / "gate")
    await site.server.start_server()
    yield site
    await site.server.close()


async def pictures(page: Page) -> list[Picture]:
    """Whether each picture is complete, and its own width."""
    found = await page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth])"
    )
    return [(is_complete, width) for is_complete, width in found]


async def test_img_tags_show_thumbnails(page: Page, site: Site) -> None:
    await page.goto(site.url(LISTED, "pictures.html"))
    assert await pictures(page) == [(True, 120), (True, 200), (True, 90)]


async def test_a_page_that_is_not_listed_gets_no_picture(
    page: Page, site: Site, dragon: Dragon, origin: Origin
) -> None:
    # The browser keeps from a page what came for an img tag and is no picture: ask the server.
    before = count_requests(dragon, status=401)
    await page.goto(site.url(UNLISTED, "pictures.html"))
    assert await pictures(page) == [(True, 0), (True, 0), (True, 0)]
    await eventually(lambda: count_requests(dragon, status=401) - before == 3)
    assert origin.hits == []


def count_requests(dragon: Dragon, **wanted: Any) -> int:
    """How many requests the server has logged that were such."""
    return len([line for line in dragon.events("request") if wanted.items() <= line.items()])


def watch_statuses(page: Page, path: str) -> list[int]:
    """The statuses of the answers from a path, as they come."""
    statuses: list[int] = []

    def note(response: Response) -> None:
        if path in response.url:
            statuses.append(response.status)

    page.on("response", note)
    return statuses


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
