"""html.scrape: the pictures and videos that a page shows or tells of, the page's own first."""

import os

from dragon.task import Context, Descriptor, Params, Result, SourceUrl, TaskFailed, task
from tasks.toolkit.page.hints import Hit


class ScrapeParams(Params, frozen=True):
    url: SourceUrl


class Scraped(Result, frozen=True):
    """`hits` come best first: what a person would choose as the page's picture.

    There are at most 250 of them; `more_hits` tells how many were left out. `page_url` is where
    the page was found, after redirects.
    """

    hits: list[Hit]
    more_hits: int
    page_title: str | None
    page_url: str


@task("html.scrape", timeout_seconds=60)
async def scrape(params: ScrapeParams, ctx: Context) -> Scraped:
    source = await ctx.fetch(params.url)
    if source.size > ctx.limits.max_page_bytes:
        raise TaskFailed(
            f"File '{params.url}' has {source.size} bytes, more than the limit of "
            f"{ctx.limits.max_page_bytes} for a page (max_page_bytes)"
        )
    location = source.location or params.url
    return await ctx.isolated(read, params.url, location, source.content_type, source.size, source)


def read(url: str, location: str, content_type: str, size: int, source: Descriptor) -> Scraped:
    """Runs in a decoder child. No script is run, and nothing else is fetched."""
    from tasks.toolkit.page.content import Page
    from tasks.toolkit.page.text import text_of

    page = Page(text_of(url, os.pread(source, size, 0), content_type), location)
    hits, more_hits = page.hits()
    return Scraped(hits=hits, more_hits=more_hits, page_title=page.title(), page_url=location)
