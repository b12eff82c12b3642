"""Downloading sources: from allowed addresses only, within limits, and in clear words."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from dragon.engine.fetching import Fetcher
from dragon.errors import InvalidSettings, TaskError, TaskFailed, TaskInterrupted
from dragon.settings import Settings
from dragon.task import Source

LOCAL = Settings(fetch_allow=("127.0.0.1",), fetch_timeout_seconds=5)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def fetch(url: str, directory: Path, settings: Settings = LOCAL) -> Source:
    async with Fetcher(settings) as fetcher:
        return await fetcher.fetch(url, directory / "source")


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def failure(url: str, directory: Path, **settings: Any) -> TaskError:
    """What fetching `url` raises; nothing is left in the directory."""
    values = {"fetch_allow": LOCAL.fetch_allow, "fetch_timeout_seconds": 5} | settings
    with pytest.raises(TaskError) as caught:
        await fetch(url, directory, Settings(**values))
    assert names_in(directory) == []
    assert caught.value.message.startswith(f"File '{url}' could not be fetched: ")
    assert "127.0.0.1" not in caught.value.message.replace(url, "")
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A web server whose every path is `handler`'s; its address, without a last slash."""
    application = web.Application(handler_args={"auto_decompress": False})
    application.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(application, host="127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.port}"


@asynccontextmanager
async def talking(
    talk: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that answers a request with whatever bytes `talk` writes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


class Canary:
    """A listening socket that nobody may connect to."""

    def __init__(self) -> None:
        if socket.has_dualstack_ipv6():
            self._socket = socket.create_server(
                ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
            )
        else:
            self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()

    @property
    def was_touched(self) -> bool:
        """Whether a connection was made; the kernel makes it, whether it is accepted or not."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


async def test_a_file_is_saved_with_its_size(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body)

    async with serving(answer) as server:
        source = await fetch(f"{server}/a.jpg", tmp_path)
    assert source == Source(url=f"{server}/a.jpg", path=tmp_path / "source", size=len(body))
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


@pytest.mark.parametrize(
    "host",
    [
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
    ],
)
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
    ("status", "words", "kind"),
    [
        (204, "204 No Content", TaskFailed),
        (304, "304 Not Modified", TaskFailed),
        (401, "401 Unauthorized", TaskFailed),
        (404, "404 Not Found", TaskFailed),
        (499, "499", TaskFailed),
        (408, "408 Request Timeout", TaskInterrupted),
        (425, "425 Too Early", TaskInterrupted),
        (429, "429 Too Many Requests", TaskInterrupted),
        (500, "500 Internal Server Error", TaskInterrupted),
        (503, "503 Service Unavailable", TaskInterrupted),
        (599, "599", TaskInterrupted),
        (999, "999", TaskFailed),
    ],
)
async def test_an_answer_other_than_the_file_is_named(
    status: int, words: str, kind: type, tmp_path: Path
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, reason="Look At Me")

    async with serving(answer) as server:
        error = await failure(f"{server}/a.jpg", tmp_path)
    assert type(error) is kind
    assert error.message.endswith(f"the server answered {words}")


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

    started = asyncio.get_running_loop().time()
    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path, fetch_timeout_seconds=1.2)
    assert asyncio.get_running_loop().time() - started < 1.1
    assert isinstance(error, TaskFailed)
    assert error.message.endswith(
        "it came slower than 1024 bytes per second (setting fetch_min_bytes_per_second)"
    )


async def test_a_steady_file_may_take_longer_than_one_window(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 48000\r\n\r\n")
        for _ in range(48):
            writer.write(b"a" * 1000)
            await writer.drain()
            await asyncio.sleep(0.02)

    limits = Settings(
        fetch_allow=("127.0.0.1",), fetch_timeout_seconds=2.4, fetch_min_bytes_per_second=100
    )
    started = asyncio.get_running_loop().time()
    async with talking(talk) as server:
        assert (await fetch(f"{server}/", tmp_path, limits)).size == 48_000
    assert asyncio.get_running_loop().time() - started > 0.8


async def test_the_limit_of_time_counts_all_redirects_together(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    started = asyncio.get_running_loop().time()
    async with serving(answer) as server:
        error = await failure(
            f"{server}/", tmp_path, fetch_timeout_seconds=0.5, fetch_max_redirects=100
        )
    assert asyncio.get_running_loop().time() - started < 2
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
        error = await failure(f"{server}/", tmp_path, fetch_timeout_seconds=0.6)
    assert isinstance(error, TaskFailed)
    assert "(setting fetch_timeout_seconds)" in error.message


async def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path, fetch_timeout_seconds=0.2)
    assert isinstance(error, TaskFailed)
    assert "(setting fetch_timeout_seconds)" in error.message


@pytest.mark.parametrize("is_reset", [True, False])
@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 50_000]
)
async def test_a_lost_connection_may_be_tried_again(
    head: bytes, is_reset: bool, tmp_path: Path
) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()
        if is_reset:
            linger = struct.pack("ii", 1, 0)
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskInterrupted)
    assert error.message.endswith("the connection to the server was lost")


async def test_a_refused_connection_may_be_tried_again(tmp_path: Path) -> None:
    with socket.socket() as silent:  # bound, but not listening: nobody else gets the port
        silent.bind(("127.0.0.1", 0))
        error = await failure(f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path)
    assert isinstance(error, TaskInterrupted)
    assert error.message.endswith("no connection to the server could be made")


async def test_a_host_without_an_address_is_named(tmp_path: Path) -> None:
    try:
        socket.getaddrinfo("nobody.invalid", 80)
    except socket.gaierror as error:
        # Where no name server answers, nobody can tell that there is no such host.
        may_pass = error.errno == socket.EAI_AGAIN
    found = await failure("http://nobody.invalid/", tmp_path)
    assert isinstance(found, TaskInterrupted if may_pass else TaskFailed)
    assert "its host name" in found.message


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "unheard-of", "identity, gzip"])
async def test_a_compressed_answer_is_refused_unopened(coding: str, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        bomb = gzip.compress(bytes(10_000_000))
        return web.Response(body=bomb, headers={"Content-Encoding": coding})

    async with serving(answer) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert "Content-Encoding" in error.message


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
        b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
    ids=["long header", "many headers", "long status", "bad length", "two lengths", "not HTTP"],
)
async def test_a_malformed_answer_is_refused(head: bytes, tmp_path: Path) -> None:
    async def talk(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    async with talking(talk) as server:
        error = await failure(f"{server}/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("the server's answer is not valid HTTP")


async def test_a_server_without_tls_is_named(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(answer) as server:
        error = await failure(server.replace("http", "https") + "/", tmp_path)
    assert isinstance(error, TaskFailed)
    assert error.message.endswith("no secure connection to the server could be made")


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
