"""Takes the picture of the example page, at work and at its end: `python -m tests.screenshot`."""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Page
from pyvips import Image

from tests.support.browser import LISTED, Site, chromium, open_page
from tests.support.example_page import HAS_ENDED, INDEX, example_page
from tests.support.processes import Dragon

PICTURE = INDEX.with_name("screenshot.png")
WIDTH, HEIGHT = 660, 580
SPACE, GREY = 12, [160, 160, 160]

IS_HALF_DONE = "document.querySelector('progress').position > 0.45"
FILM_PLAYS = "document.querySelector('video').currentTime > 2.5"


async def main() -> None:
    with tempfile.TemporaryDirectory() as name, Dragon(Path(name)) as dragon:
        site = Site(dragon, "", Path(name) / "gate")
        site.pages["example"] = example_page(dragon.url)
        await site.server.start_server()
        with chromium(Path(name) / "profile") as browser:
            async with open_page(browser) as page:
                write(await take(page, site.url(LISTED, "example")))
        await site.server.close()


async def take(page: Page, url: str) -> list[bytes]:
    """One picture in the middle of the work, one of what came of it."""
    await page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    await page.goto(url)
    await page.click("button")
    await page.wait_for_function(IS_HALF_DONE)
    middle = await page.screenshot()
    await page.wait_for_function(HAS_ENDED, timeout=60_000)
    await page.wait_for_function(FILM_PLAYS)
    return [middle, await page.screenshot()]


def write(pictures: list[bytes]) -> None:
    """Side by side, in as few colours as nobody will miss."""
    images = [Image.new_from_buffer(picture, "") for picture in pictures]
    both = Image.arrayjoin(images, shim=SPACE, background=GREY)
    both.write_to_file(str(PICTURE), palette=True, effort=10)
    print(f"{PICTURE}: {both.width}x{both.height}, {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
