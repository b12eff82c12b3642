"""Names of hosts are looked up in threads of their own."""

import asyncio
from pathlib import Path
from threading import Event

from aiohttp import web

from tests.support.fetching import fetch, serving

MANY = 100


async def test_names_are_looked_up_though_all_threads_of_the_loop_are_held_up(
    tmp_path: Path,
) -> None:
    """As they are by names that nobody answers for."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="found")

    is_over, loop = Event(), asyncio.get_running_loop()
    holding = [loop.run_in_executor(None, is_over.wait) for _ in range(MANY)]
    try:
        async with serving(answer) as url:
            await fetch(url.replace("127.0.0.1", "localhost"), tmp_path)
    finally:
        is_over.set()
        await asyncio.gather(*holding)
    assert (tmp_path / "source").read_text() == "found"
