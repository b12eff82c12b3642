"""Downloading sources: from allowed addresses only, however they are spelt or redirected to."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dragon.engine.network.fetching import Fetcher
from dragon.errors import InvalidSettings, TaskFailed
from dragon.settings import Settings
from tests.support.fetching import Canary, failure, fetch, serving

LOOPBACK = (
    "127.0.0.1",
    "localhost",
    "LOCALHOST.",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0",
    "0.0.0.0",  # noqa: S104
    "１２７.0.0.1",
    "127。0。0。1",
    "%31%32%37.0.0.1",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[::1%25lo]",
    "[::1%lo]",
    "user@127.0.0.1",
    "example.com\\@127.0.0.1",
)
"""Ways to write an address of this machine."""


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_of_loopback_is_connected_to(
    host: str, tmp_path: Path, canary: Canary
) -> None:
    limits: dict[str, Any] = {"fetch_allow": (), "fetch_ports": (canary.port,)}
    error = await failure(f"http://{host}:{canary.port}/", tmp_path, **limits)
    assert isinstance(error, TaskFailed)
    assert not canary.was_touched


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_a_redirect_to_a_forbidden_address_is_not_followed(
    status: int, host: str, tmp_path: Path, canary: Canary
) -> None:
    async def answer(request: web.Request) -> web.Response:
        location = f"http://{host}:{canary.port}/admin"
        return web.Response(status=status, headers={"Location": location})

    async with serving(answer) as server:
        allowed = server.removeprefix("http://")
        error = await failure(f"{server}/", tmp_path, fetch_allow=(allowed,))
    assert isinstance(error, TaskFailed)
    assert error.message.endswith(
        "it leads to an address or a port that is not allowed (settings fetch_allow and "
        "fetch_ports)"
    )
    assert not canary.was_touched


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("ftp://example.com/a", "it redirects: its address does not start with http:// or https"),
        ("file:///etc/passwd", "it redirects: its address"),
        ("javascript:alert(1)", "it redirects: its address"),
        ("data:,a", "it redirects: its address"),
        ("https:///", "it redirects: its address has no valid host"),
        ("http://a b/", "it redirects: its address has no valid host"),
        ("http://user:secret@example.com/", "it redirects: its address contains a user name"),
        ("http://example.com:99999/", "it redirects to a malformed address"),
        ("http://[::1/", "it redirects to a malformed address"),
        ("http://[]@/", "it redirects to a malformed address"),
        ("/again", "it redirects in a loop"),
        ("", "it redirects in a loop"),
        ("#part", "it redirects in a loop"),
    ],
)
async def test_a_redirect_that_cannot_be_followed_is_named(
    location: str, words: str, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    async with serving(answer) as server:
        error = await failure(f"{server}/again", tmp_path)
    assert isinstance(error, TaskFailed)
    assert words in error.message
    assert "secret" not in error.message


async def test_redirects_are_followed_up_to_their_limit(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        hop = int(request.path[1:])
        return web.Response(status=302, headers={"Location": f"{hop + 1}"} if hop < 3 else {})

    async def arrive(request: web.Request) -> web.Response:
        return web.Response(text="there") if request.path == "/3" else await answer(request)

    async with serving(arrive) as server:
        settings = Settings(fetch_allow=("127.0.0.1",), fetch_max_redirects=3)
        source = await fetch(f"{server}/0", tmp_path, settings)
        assert source.path.read_text() == "there"
        source.path.unlink()
        error = await failure(f"{server}/0", tmp_path, fetch_max_redirects=2)
        assert "it redirects more than 2 times (setting fetch_max_redirects)" in error.message
    async with serving(answer) as server:
        error = await failure(f"{server}/3", tmp_path)
    assert error.message.endswith("the server answered 302 Found")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "http:",
        "http://",
        "http:///a",
        "http://:80/",
        "http://?",
        "http://a b/",
        "http://a..b/",
        "http://.a/",
        "http://a%00b/",
        "http://a\u200bb/",
        "http://" + "a" * 64 + ".com/",
        "http://a:65536/",
        "http://a:b/",
        "http://[]@/",
        "http://[::1/",
        "http://[v1.a]b/",
        "http://xn--\ud800/",
        "http://user@example.com/",
        "http://:secret@example.com/",
        "http://@example.com/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
    ],
)
async def test_a_url_that_cannot_be_fetched_is_refused(url: str, tmp_path: Path) -> None:
    error = await failure(url, tmp_path)
    assert isinstance(error, TaskFailed)
    assert ": its address " in error.message


def test_a_bad_setting_is_reported_before_anything_is_fetched() -> None:
    with pytest.raises(InvalidSettings):
        Fetcher(Settings(fetch_allow=("localhost",)))
