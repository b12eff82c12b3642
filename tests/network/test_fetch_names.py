"""Names of hosts are looked up in threads of their own."""

import asyncio
from pathlib import Path
from threading import Event

import aiohttp
import pytest
from aiohttp import web

from dragon.engine.network.failures import explain_failure
from dragon.engine.network.names import MAX_THREADS, Names
from dragon.errors import TaskInterrupted
from dragon.settings import Settings
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


def test_web_hooks_to_names_that_nobody_answers_for_leave_threads_to_others() -> None:
    """The system looks for half a minute, also for those that were given up."""
    settings = Settings()
    assert settings.slots.hook * 30 / settings.webhook_timeout_seconds < MAX_THREADS


async def test_a_name_that_finds_no_thread_is_to_be_looked_up_later() -> None:
    """Rather than holding up its task for as long as a film may take to come."""
    connector = aiohttp.TCPConnector(resolver=Names(threads=0, wait_seconds=0.01))
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
            await session.get("http://localhost/")
    told = explain_failure(caught.value)
    assert isinstance(told, TaskInterrupted)
    assert told.message == "its host name could not be looked up"
