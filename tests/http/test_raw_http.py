"""Bytes that are hardly HTTP: whatever comes, the server answers the next request as ever."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS
from tests.support.wire import send_raw

BODY = json.dumps({"secret": SECRET, "tasks": {"task_name": "hello", "name": "John"}}).encode()
CREATE = b"POST /v1/create HTTP/1.1\r\nHost: a.net\r\n"
TRACES = (b"Traceback", b'File "', b"site-packages")


pytestmark = pytest.mark.usefixtures("unharmed", "no_bugs")


@pytest_asyncio.fixture
async def unharmed(api: Api, dragon: Dragon) -> AsyncIterator[None]:
    """The same server process answers afterwards."""
    server = dragon.server().pid
    yield
    assert (await api.run(task_name="hello", name="John"))["result"] == "Hello John"
    assert dragon.server().pid == server


def request(*headers: bytes, body: bytes = BODY) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return CREATE + b"\r\n".join([*headers, length, b"Connection: close"]) + b"\r\n\r\n" + body


def status_of(answer: bytes) -> int:
    assert not any(trace in answer for trace in TRACES)
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\n" + b"\x00" * 100 + b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/status\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET  /v1/status  HTTP/1.1\r\n\r\n",
        b"G\x00T /v1/status HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"NOTHING /v1/status HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost a\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n: a\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHo st: a\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET /v1/status?" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 100_000 + b"\r\n",
        CREATE + b"Content-Length: -1\r\n\r\n",
        CREATE + b"Content-Length: x\r\n\r\n",
        CREATE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        CREATE + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n{}",
        CREATE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        CREATE + b"Transfer-Encoding: nothing\r\n\r\n{}",
        CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda data: repr(data[-40:]),
)
async def test_what_is_no_http_is_refused(dragon: Dragon, broker: Broker, data: bytes) -> None:
    before = await broker.count_jobs()
    answer = await send_raw(dragon.url, data + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer == b"" or status_of(answer) in (400, 404, 405, 505)
    assert await broker.count_jobs() == before


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a b",
        b"a/b",
        b"a\\b",
        b"a.net/@b.net",
        b"user@a.net",
        b'"><script>alert(1)</script>',
        b"a.net?",
        b"a.net#",
        b"\xff\xfe",
        b"a%0d%0ab",
    ],
)
async def test_a_bad_host_header_gets_into_no_url(
    dragon: Dragon, broker: Broker, host: bytes
) -> None:
    before = await broker.count_jobs()
    data = request().replace(b"Host: a.net", b"Host: " + host)
    answer = await send_raw(dragon.url, data)
    assert status_of(answer) == 400
    if b"application/json" in answer:
        [problem] = json.loads(answer.partition(b"\r\n\r\n")[2])["errors"]
        assert (problem["name"], problem["location"]) == ("Host", "header")
        assert problem["description"] == "Host must be a host name and a port"
    assert await broker.count_jobs() == before


async def test_a_request_without_a_host_breaks_nothing(dragon: Dragon) -> None:
    data = request().replace(b"Host: a.net\r\n", b"")
    assert status_of(await send_raw(dragon.url, data)) in (200, 400)


async def test_a_body_in_chunks_of_any_size_is_read(dragon: Dragon) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    head = CREATE + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert status_of(await send_raw(dragon.url, head + chunks)) == 200


async def test_requests_on_one_connection_are_answered_in_order(dragon: Dragon) -> None:
    reads = b"".join(
        b"GET /v1/status?tasks=%d HTTP/1.1\r\nHost: a.net\r\n\r\n" % number for number in range(50)
    )
    answer = await send_raw(dragon.url, reads + request())
    assert answer.count(b"HTTP/1.1 404") == 50
    assert answer.count(b"HTTP/1.1 200") == 1
    places = [answer.index(b"task '%d' is unknown" % number) for number in range(50)]
    assert places == sorted(places)
    assert answer.index(b"HTTP/1.1 200") > places[-1]


async def test_a_wrong_body_does_not_spill_into_the_next_request(dragon: Dragon) -> None:
    smuggled = b"GET /v1/nothing HTTP/1.1\r\nHost: a.net\r\n\r\n"
    wrong = CREATE + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled
    answer = await send_raw(dragon.url, wrong + request())
    assert answer.count(b"HTTP/1.1 400") == 1
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"HTTP/1.1 404" not in answer


@pytest.mark.parametrize("sent", [1, 20, 60, 100, 130, len(request()) - 1])
async def test_a_request_cut_short_queues_nothing(
    dragon: Dragon, broker: Broker, sent: int
) -> None:
    before = await broker.count_jobs()
    host, port = dragon.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request()[:sent])
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_SECONDS):
        answer = await reader.read()
    writer.close()
    assert answer == b"" or status_of(answer) == 400
    assert await broker.count_jobs() == before


async def test_many_half_requests_hold_up_nobody(dragon: Dragon, api: Api) -> None:
    host, port = dragon.url.removeprefix("http://").split(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
    for _, writer in connections:
        writer.write(request()[:100])
    assert (await api.run(task_name="hello", name="Jane"))["result"] == "Hello Jane"
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize("head", [b"", b"Connection: keep-alive\r\n"])
async def test_a_client_of_old_sees_the_end_of_a_stream(
    api: Api, dragon: Dragon, head: bytes
) -> None:
    key = (await api.run(task_name="hello", name="John"))["key"].encode()
    data = b"GET /v1/status_stream?tasks=%b HTTP/1.0\r\nHost: a\r\n%b\r\n" % (key, head)
    assert (await send_raw(dragon.url, data)).endswith(b"}]\n")
