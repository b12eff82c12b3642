"""Downloading sources: within limits of size, speed and time."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from dragon.errors import TaskFailed
from dragon.settings import Settings
from tests.support.fetching import failure, fetch, serving, talking
from tests.support.waiting import undisturbed


async def test_a_file_with_a_length_over_the_limit_is_not_read(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        # The body never comes: reading any of it would end in the limit of time instead.
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
        await writer.drain()
        await asyncio.Event().wait()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path, fetch_max_bytes=1000)
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("it is larger than 1000 bytes (setting fetch_max_bytes)")


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_file_without_a_length_ends_at_the_limit(is_chunked: bool, tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"\r\n")
        while True:
            writer.write(b"10\r\n0123456789abcdef\r\n" * 1000)
            await writer.drain()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path, fetch_max_bytes=200_000)
    assert isinstance(error, TaskFailed)
    assert "(setting fetch_max_bytes)" in error.message


async def test_audio_and_video_have_limits_of_their_own(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000))
        await writer.drain()

    async with talking(talk) as server:
        limits = {"fetch_max_bytes": 1000, "fetch_media_max_bytes": 1500}
        error = await failure(f"{server}/", tmp_path, is_media=True, **limits)
        assert error.message.endswith(
            "it is larger than 1500 bytes (setting fetch_media_max_bytes)"
        )
        settings = Settings(
            fetch_allow=("127.0.0.1",), fetch_max_bytes=1000, fetch_media_max_bytes=2000
        )
        assert (await fetch(f"{server}/", tmp_path, settings, is_media=True)).size == 2000


async def test_a_file_of_exactly_the_limit_is_fetched(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"a" * 1000)

    settings = Settings(fetch_allow=("127.0.0.1",), fetch_max_bytes=1000)
    async with serving(answer) as server:
        assert (await fetch(f"{server}/", tmp_path, settings)).size == 1000


async def test_a_file_that_becomes_a_drip_ends_long_before_the_limit_of_time(
    tmp_path: Path,
) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 10_000)
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def look() -> None:
        error = await failure(f"{server}/", tmp_path, fetch_timeout_seconds=1.5)
        assert isinstance(error, TaskFailed)
        assert error.message.endswith(
            "it came slower than 1024 bytes per second (setting fetch_min_bytes_per_second)"
        )

    async with talking(talk) as server:
        await undisturbed(look)


async def test_a_steady_file_may_take_longer_than_one_window(tmp_path: Path) -> None:
    sent: list[int] = []
    window_seconds = 1.0

    async def talk(writer: asyncio.StreamWriter) -> None:
        place = len(sent)
        sent.append(0)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 1.2 * window_seconds:
            writer.write(b"a" * 1000)
            sent[place] += 1000
            await writer.drain()
            await asyncio.sleep(0.02)

    limits = Settings(
        fetch_allow=("127.0.0.1",),
        fetch_timeout_seconds=3 * window_seconds,
        fetch_min_bytes_per_second=100,
    )
    async with talking(talk) as server:
        source = await undisturbed(lambda: fetch(f"{server}/", tmp_path, limits))
    assert source.size == sent[-1]


async def test_the_limit_of_time_counts_all_redirects_together(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    async with serving(answer) as server:
        error = await failure(
            f"{server}/", tmp_path, fetch_timeout_seconds=0.5, fetch_max_redirects=100
        )
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("it took longer than 0.5 seconds (setting fetch_timeout_seconds)")


async def test_a_file_without_end_ends_at_the_limit_of_time(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"a" * 1000)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with talking(talk) as server:
        error = await failure(
            f"{server}/", tmp_path, fetch_timeout_seconds=0.6, fetch_min_bytes_per_second=1
        )
    assert isinstance(error, TaskFailed)
    assert "(setting fetch_timeout_seconds)" in error.message


async def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path, fetch_timeout_seconds=0.2)
    assert isinstance(error, TaskFailed)
    assert "(setting fetch_timeout_seconds)" in error.message
