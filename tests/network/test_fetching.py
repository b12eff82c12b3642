"""Downloading sources: what is asked for, and what is kept."""

import asyncio
from pathlib import Path

from aiohttp import web

from dragon.settings import Settings
from dragon.task import Source
from tests.support.fetching import fetch, serving, talking


async def test_a_file_is_saved_with_its_size(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with serving(answer) as server:
        source = await fetch(f"{server}/a.jpg", tmp_path)
    assert source == Source(
        url=f"{server}/a.jpg",
        path=tmp_path / "source",
        size=len(body),
        location=f"{server}/a.jpg",
        content_type="application/octet-stream",
    )
    assert source.path.read_bytes() == body


async def test_an_allowed_address_may_be_reached_by_a_name(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    async with serving(answer) as server:
        port = server.rpartition(":")[2]
        settings = Settings(fetch_allow=(f"127.0.0.1:{port}",))
        source = await fetch(f"http://localhost:{port}/", tmp_path, settings)
    assert source.path.read_text() == f"localhost:{port}"


async def test_a_signed_url_arrives_letter_for_letter(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.raw_path)

    target = "/a%7eb/%2F/..;c?signature=a%2fb%20c+d%7E&x=%41#part"
    async with serving(answer) as server:
        source = await fetch(server + target, tmp_path)
    assert source.path.read_text() == target.removesuffix("#part")


async def test_a_url_that_is_not_quoted_is_quoted(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    async with serving(answer) as server:
        source = await fetch(f"{server}/bücher|100%", tmp_path)
    assert source.path.read_text() == "/bücher|100%"


async def test_requests_carry_no_more_than_they_must(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/first":
            headers = {"Location": "/second", "Set-Cookie": "a=b; Path=/"}
            return web.Response(status=302, headers=headers)
        return web.Response(text="\n".join(sorted(request.headers)))

    async with serving(answer) as server:
        source = await fetch(f"{server}/first", tmp_path)
    assert source.path.read_text().split() == ["Accept", "Accept-Encoding", "Host", "User-Agent"]


async def test_the_address_that_a_source_was_found_at_is_told(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/old":
            return web.Response(status=301, headers={"Location": "new/page?b=%41"})
        return web.Response(text="<html>", content_type="text/html")

    async with serving(answer) as server:
        source = await fetch(f"{server}/old", tmp_path)
        assert (source.url, source.location) == (f"{server}/old", f"{server}/new/page?b=%41")
    assert source.content_type == "text/html; charset=utf-8"


async def test_a_content_type_of_any_bytes_is_ascii(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/\xe4\r\nContent-Length: 2\r\n\r\nhi")

    async with talking(talk) as server:
        source = await fetch(server, tmp_path)
    assert (source.content_type, source.size) == ("text/?", 2)
