"""A real Chromium, and a web site whose pages use the shared Dragon."""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from string import Template
from subprocess import DEVNULL
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Page, Response, async_playwright

from dragon.kernel import die_with_parent
from tests.support.accounts import API_KEY
from tests.support.paths import ROOT
from tests.support.processes import START_SECONDS, Dragon
from tests.support.waiting import DEADLINE_SECONDS, wait_until

PAGES = ROOT / "tests" / "pages"
LISTED = "page.example.org"
UNLISTED = "evil.example.net"

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--headless",
    "--hide-scrollbars",
    "--mute-audio",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
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
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)

Picture = tuple[bool, int]


@contextmanager
def chromium(profile: Path) -> Iterator[str]:
    """A browser that many pages share, as the URL at which it is driven."""
    assert CHROMIUM, "there is no Chromium on this machine: install chromium"
    announced = profile / "DevToolsActivePort"
    with subprocess.Popen(
        [CHROMIUM, *ARGUMENTS, f"--user-data-dir={profile}", "--remote-debugging-port=0"],
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
    ) as browser:
        try:
            wait_until(lambda: announced.exists() and "\n" in announced.read_text(), START_SECONDS)
            port, path = announced.read_text().split()
            yield f"ws://127.0.0.1:{port}{path}"
        finally:
            os.killpg(browser.pid, signal.SIGKILL)


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[Page]:
    """A new page, with nothing that other pages of this browser have."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(url, timeout=START_SECONDS * 1000)
        page = await browser.new_page()
        page.set_default_timeout(DEADLINE_SECONDS * 1000)
        yield page
        await page.context.close()


class Site:
    """A web site whose pages use the shared Dragon; POST /open opens the gate of its tasks.

    It has those of tests/pages, and what a test adds to `pages`; each comes with `headers`.
    """

    def __init__(self, dragon: Dragon, source: str, gate: Path) -> None:
        self.gate = gate
        self.source = source
        self.pages: dict[str, str] = {}
        self.headers: dict[str, str] = {}
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
        name = request.match_info["name"]
        text = self.pages.get(name) or self._read(name)
        return web.Response(text=text, content_type="text/html", headers=self.headers)

    def _read(self, name: str) -> str:
        path = PAGES / name
        if not path.is_file():
            raise web.HTTPNotFound
        return Template(path.read_text()).substitute(self._words)

    async def _open(self, _: web.Request) -> web.Response:
        self.gate.touch()
        return web.Response()


async def pictures(page: Page) -> list[Picture]:
    """Whether each picture is complete, and its own width."""
    found = await page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth])"
    )
    return [(is_complete, width) for is_complete, width in found]


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
