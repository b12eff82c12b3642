"""The example page in Chromium, from another origin: its bar moves, and its results are shown."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, Request

from tests.support.accounts import API_KEY
from tests.support.broker import Broker
from tests.support.browser import LISTED, Site, needs_chromium, pictures
from tests.support.example_page import HAS_ENDED, example_page, replaced
from tests.support.origin import Origin
from tests.support.paths import MEDIA
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

pytestmark = [needs_chromium, pytest.mark.usefixtures("no_bugs")]

PICTURES = 20
TASKS = PICTURES + 1
SHOWN = [(True, 320)] * PICTURES
FILM_SECONDS = 5.3

NOTE_MOVES = """
  window.moves = [];
  new MutationObserver(([{ target }]) => moves.push(target.position))
    .observe(document, { subtree: true, attributeFilter: ["value"] });
"""
ARE_LOADED = "[...document.images].every(image => image.complete)"
PLAYS = "document.querySelector('video').currentTime > 0"
CONVERSION_SECONDS = 180.0
"""Far more than it takes where four tests run on two processors."""


async def start(page: Page, site: Site, text: str) -> None:
    """Open the page with this text and press its button."""
    site.pages["example"] = text
    await page.add_init_script(NOTE_MOVES)
    await page.goto(site.url(LISTED, "example"))
    await page.click("button")


async def end(page: Page) -> None:
    await page.wait_for_function(HAS_ENDED, timeout=CONVERSION_SECONDS * 1000)
    await page.wait_for_function(ARE_LOADED)


def with_a_short_film(text: str) -> str:
    return replaced(text, 'format: "webm"', "width: 64, end: 1")


def note_posts(page: Page) -> list[tuple[str, int]]:
    """What the page sends: the last word of each path, and how many bytes."""
    posts: list[tuple[str, int]] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            path = request.url.partition("?")[0]
            posts.append((path.rpartition("/")[2], len(request.post_data_buffer or b"")))

    page.on("request", note)
    return posts


async def moves(page: Page) -> list[float]:
    """Where the bar has been between its ends."""
    positions = await page.evaluate("moves")
    return [position for position in positions if 0 < position < 1]


async def words(page: Page) -> tuple[str, list[str]]:
    """What the page says of its tasks, and what it complains of."""
    return await page.inner_text("output"), await page.locator("[role=alert] p").all_inner_texts()


async def test_the_bar_moves_and_then_twenty_pictures_and_a_film_are_there(
    page: Page, site: Site, dragon: Dragon, broker: Broker
) -> None:
    before, posts = await broker.count_jobs(), note_posts(page)
    await start(page, site, example_page(dragon.url))
    await end(page)
    assert await words(page) == (f"{TASKS} of {TASKS} made", [])
    assert await pictures(page) == SHOWN
    assert await moves(page)
    assert await page.evaluate("document.querySelector('progress').position") == 1
    await page.wait_for_function(PLAYS)
    film: Any = await page.evaluate(
        "[...document.querySelectorAll('video')].map(one => [one.videoWidth, one.duration])"
    )
    assert film == [[640, pytest.approx(FILM_SECONDS, abs=0.1)]]
    assert await broker.count_jobs() - before == TASKS
    assert {name for name, _ in posts} == {"create", "status_stream"}
    assert sum(size for _, size in posts) < 10_000, "sources are told by their addresses"


async def test_loaded_again_in_the_middle_it_goes_on_and_creates_nothing_twice(
    page: Page, site: Site, dragon: Dragon, broker: Broker, origin: Origin
) -> None:
    is_open = asyncio.Event()

    async def portrait(_: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await is_open.wait()
        return web.FileResponse(MEDIA / "rocket.jpg")

    origin.handlers["portrait.jpg"] = portrait
    text = with_a_short_film(example_page(dragon.url))
    before, posts = await broker.count_jobs(), note_posts(page)
    slow = replaced(text, "`${server}/static/portrait.jpg`", f"'{origin.url('portrait.jpg')}'")
    await start(page, site, slow)
    await page.wait_for_function("moves.some(position => position > 0)")
    await page.reload()
    await page.wait_for_function("moves.some(position => position > 0)")
    assert 0 < (await moves(page))[-1] < 1
    is_open.set()
    await end(page)
    assert await words(page) == (f"{TASKS} of {TASKS} made", [])
    assert await pictures(page) == SHOWN
    assert [name for name, _ in posts].count("create") == 2
    assert await broker.count_jobs() - before == TASKS
    assert origin.hits == ["portrait.jpg"]


async def test_what_cannot_be_made_is_told_in_words_beside_what_was_made(
    page: Page, site: Site, dragon: Dragon
) -> None:
    text = replaced(example_page(dragon.url), "portrait.jpg", "missing.jpg")
    await start(page, site, replaced(text, 'format: "webm"', "width: -1"))
    await end(page)
    said, problems = await words(page)
    assert said == f"{TASKS - 2} of {TASKS} made, 2 failed"
    wrong, missing = sorted(problems, reverse=True)
    assert wrong == "The film as WebM: width: must be a whole number of pixels from 1 to 16383"
    assert missing.startswith("An astronaut: ")
    assert f"{dragon.url}/static/missing.jpg" in missing
    assert "404" in missing
    assert await pictures(page) == SHOWN[1:]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (API_KEY, "wrong", "the credentials are missing or wrong"),
        ("/dragon.js", "/missing.js", "/missing.js"),
    ],
)
async def test_what_is_refused_is_told_in_words(
    page: Page, site: Site, dragon: Dragon, old: str, new: str, told: str
) -> None:
    await start(page, site, replaced(example_page(dragon.url), old, new))
    await page.wait_for_selector("[role=alert] p")
    said, [problem] = await words(page)
    assert said == ""
    assert problem.startswith("That did not work: ")
    assert told in problem
    assert await page.is_enabled("button")
