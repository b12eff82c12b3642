"""What a page of another origin does with dragon.js, and what it must have been told."""

from collections import Counter
from typing import Any

from playwright.async_api import Page

from tests.support.browser import LISTED, Site

FINAL = ("success", "error")
RANK = {"queued": 0, "executing": 1, "success": 2, "error": 2}
HELLO = {"task_name": "hello", "name": "John"}


async def open_module(page: Page, site: Site, host: str = LISTED) -> None:
    await page.goto(site.url(host, "module.html"))
    await page.wait_for_function("window.dragon")


async def create(page: Page, tasks: Any) -> list[str]:
    """The keys of tasks that the page has created."""
    keys = await page.evaluate(
        "async tasks => (window.created = await dragon.create(tasks)).map(({key}) => key)", tasks
    )
    assert isinstance(keys, list)
    return keys


async def told(page: Page) -> list[Any]:
    """All that the page was told, when it has been told everything."""
    statuses = await page.evaluate("all")
    assert isinstance(statuses, list)
    return statuses


def assert_each_ended_once(statuses: list[Any], keys: list[str]) -> None:
    ends = [status["key"] for status in statuses if status["status"] in FINAL]
    assert Counter(ends) == dict.fromkeys(keys, 1)
    for key in keys:
        mine = [status for status in statuses if status["key"] == key]
        places = [(RANK[status["status"]], status.get("progress", -1)) for status in mine]
        assert places == sorted(set(places))
