"""Bodies that are no acceptable JSON object: each gets a 400 that says why, and queues nothing."""

import asyncio
import gzip
import socket
import zlib
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from tests.support.accounts import SECRET
from tests.support.api import Answer, Api
from tests.support.broker import Broker
from tests.support.processes import Dragon
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_bugs")

CREATING = ["/v1/create", "/v1/create_stream", "/v1/create_file", "/v1/create_file/x.jpg"]
READING = ["/v1/status", "/v1/status_stream", "/v1/stream"]
DEEP = b"[" * 40 + b"]" * 40
VERY_DEEP = b"[" * 100_000 + b"]" * 100_000
COMPRESSED = "the body must not be compressed: send it without Content-Encoding"
TOO_DEEP = "the body is nested more than 32 levels deep (max_body_depth)"
TOO_LARGE = "the body is larger than 4194304 bytes (max_body_bytes)"


async def send(api: Api, body: bytes, path: str = "/v1/create", **headers: str) -> Answer:
    """The answer, once nothing of the body is under way: it may come before the body was read."""
    data = BytesIO(body) if body else None
    sockets: list[socket.socket] = []

    def make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        sockets.append(socket.socket(family, kind, protocol))
        return sockets[-1]

    connector = aiohttp.TCPConnector(socket_factory=make_socket)
    async with aiohttp.ClientSession(connector=connector, timeout=api.session.timeout) as session:
        sending = Api(session, api.url)
        answer = await sending.ask("POST", path, data=data, headers=api.headers | headers)
    await asyncio.sleep(0)
    await eventually(lambda: all(one.fileno() < 0 for one in sockets))
    return answer


def description(answer: Answer) -> str:
    """What the one problem, that of the body, is."""
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert b"Traceback" not in answer.body
    assert answer.json.keys() == {"status", "errors"}
    [problem] = answer.json["errors"]
    assert (problem["name"], problem["location"]) == ("body", "body")
    return str(problem["description"])


def hello(name: bytes = b'"John"', more: bytes = b"") -> bytes:
    return b'{"tasks": {"task_name": "hello", "name": ' + name + b"}" + more + b"}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is empty, a JSON object is expected"),
        (b" \r\n\t", "the body is empty, a JSON object is expected"),
        (b"tasks=hello", "the body is not JSON: Expecting value at line 1, column 1"),
        (b"{", "the body is not JSON: Expecting property name"),
        (hello()[:-1], "the body is not JSON: Expecting ',' delimiter"),
        (hello() + b"{}", "the body is not JSON: Extra data"),
        (b"{'tasks': []}", "the body is not JSON: Expecting property name"),
        (b'{"tasks": [],}', "the body is not JSON: "),
        (hello(b'"a\nb"'), "the body is not JSON: Invalid control character"),
        (hello(b'"a\x00b"'), "the body is not JSON: Invalid control character"),
        (b"\x00", "the body is not JSON: "),
        (b"[]", "the body must be a JSON object"),
        (b'"tasks"', "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b"true", "the body must be a JSON object"),
        (b"5", "the body must be a JSON object"),
        (hello(b'"\xff"'), "the body is not UTF-8: byte 42 is wrong"),
        (hello(b'"\xed\xa0\x80"'), "the body is not UTF-8: byte 42 is wrong"),
        (hello(b'"\xc0\xaf"'), "the body is not UTF-8: byte 42 is wrong"),
        ('{"tasks": []}'.encode("utf-16"), "the body is not UTF-8: byte 0 is wrong"),
        (hello(b"NaN"), "the body is not acceptable: NaN is not JSON"),
        (hello(b"Infinity"), "the body is not acceptable: Infinity is not JSON"),
        (hello(b"-Infinity"), "the body is not acceptable: -Infinity is not JSON"),
        (hello(b"1e999"), "the body is not acceptable: the number 1e999 is too large"),
        (hello(b"-1e999"), "the body is not acceptable: the number -1e999 is too large"),
        (hello(str(2**63).encode()), "does not fit into 64 bits"),
        (hello(str(-(2**63) - 1).encode()), "does not fit into 64 bits"),
        (hello(b"9" * 1_000_000), "does not fit into 64 bits"),
        (hello(more=b', "tasks": []'), "the body is not acceptable: the key 'tasks' is given"),
        (hello(b'"a", "name": "b"'), "the body is not acceptable: the key 'name' is given twice"),
        (hello(b'"\\ud800"'), "it has half of a surrogate pair"),
        (hello(b'"\\udc00\\ud800"'), "it has half of a surrogate pair"),
        (hello(b'"a", "\\udfff": 1'), "it has half of a surrogate pair"),
        (VERY_DEEP, TOO_DEEP),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, TOO_DEEP),
        (b'{"tasks": ' + DEEP + b"}", TOO_DEEP),
        (hello(DEEP), TOO_DEEP),
        (hello(VERY_DEEP), TOO_DEEP),
        (hello(b'"a", "task_metas": ' + DEEP), TOO_DEEP),
        (hello(b'"]\\\\\\"]}", "task_metas": ' + DEEP), TOO_DEEP),
        (hello(b'"a", "task_metas": ' + VERY_DEEP), TOO_DEEP),
        (hello(b'"' + b"a" * 10_000_000 + b'"'), TOO_LARGE),
    ],
    ids=lambda value: repr(value[:30]),
)
async def test_a_body_that_cannot_be_read_is_described(
    api: Api, broker: Broker, body: bytes, words: str
) -> None:
    before = await broker.count_jobs()
    assert words in description(await send(api, body))
    assert await broker.count_jobs() == before


@pytest.mark.parametrize("path", CREATING + READING)
async def test_every_method_describes_it_the_same(api: Api, path: str) -> None:
    assert description(await send(api, b"{", path)).startswith("the body is not JSON")
    assert description(await send(api, b"", path)) == (
        "the body is empty, a JSON object is expected"
    )
    assert description(await send(api, VERY_DEEP, path)) == TOO_DEEP


async def test_what_is_unusual_but_right_is_accepted(api: Api) -> None:
    for name, result in (
        (b'"\\ud83d\\ude00"', "Hello \U0001f600"),
        ('"Zoë 😀"'.encode(), "Hello Zoë 😀"),
        (b'"a\\u0000b"', "Hello a\x00b"),
        (b'"a\\nb c"', "Hello a\nb c"),
        (b'""', "Hello "),
        (b'"' + b"[{" * 40 + b'\\"\\\\"', "Hello " + "[{" * 40 + '"\\'),
        (b'"' + b"a" * 1_000_000 + b'"', "Hello " + "a" * 1_000_000),
    ):
        for body in (hello(name, b', "block": true'), b"\xef\xbb\xbf" + hello(name)):
            answer = await send(api, body)
            assert answer.status == 200
            key = answer.json[0]["key"]
            final = await api.ask("GET", f"/v1/status?tasks={key}&block=1")
            assert final.json[0]["result"] == result


async def test_metas_as_deep_as_allowed_are_kept(api: Api) -> None:
    # The body and the definition are the two levels around them.
    metas = b"[" * 30 + b"]" * 30
    answer = await send(api, hello(b'"a", "task_metas": ' + metas, b', "block": true'))
    assert (answer.status, answer.json[0]["status"]) == (200, "success")
    assert description(await send(api, hello(b'"a", "task_metas": [' + metas + b"]"))) == TOO_DEEP


# Compression


async def test_a_compressed_bomb_is_never_unpacked(api: Api, dragon: Dragon) -> None:
    packed = gzip.compress(hello(b'"' + b"a" * 200_000_000 + b'"'), 1)
    before = peak_bytes(dragon)
    answer = await send(api, packed, **{"Content-Encoding": "gzip"})
    assert description(answer) == COMPRESSED
    assert peak_bytes(dragon) - before < 50_000_000


def peak_bytes(dragon: Dragon) -> int:
    """The most memory that the server process ever had."""
    lines = Path(f"/proc/{dragon.server().pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    "body",
    [hello(), gzip.compress(hello()), zlib.compress(hello())],
    ids=["plain", "gzip", "zlib"],  # gzip's own bytes hold the time
)
async def test_a_compressed_body_is_refused(api: Api, body: bytes) -> None:
    answer = await send(api, body, **{"Content-Encoding": "gzip"})
    assert description(answer) == COMPRESSED


async def test_a_compressed_body_cut_short_queues_nothing(api: Api, broker: Broker) -> None:
    before = await broker.count_jobs()
    packed = gzip.compress(hello())[:-12]
    assert description(await send(api, packed, **{"Content-Encoding": "gzip"}))
    assert await broker.count_jobs() == before


async def test_credentials_in_a_body_that_is_wrong_are_not_repeated(api: Api) -> None:
    for body in (
        b'{"secret": "' + SECRET.encode() + b'", "tasks": [}',
        b'{"secret": "' + SECRET.encode() + b'", "secret": "' + SECRET.encode() + b'"}',
        b'{"' + SECRET.encode() + b'": NaN}',
    ):
        assert SECRET not in description(await send(api, body))
