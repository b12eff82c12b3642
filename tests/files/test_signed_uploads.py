"""task_store s3_signed: the one file of a task is put at a URL that its client has signed."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from dragon.engine.files.outputs import Outputs
from dragon.errors import TaskError, TaskFailed, TaskInterrupted
from dragon.schemas import SIGNED, Claim, OutputFile
from dragon.settings import Settings
from dragon.store.store import Store
from dragon.task import File
from tests.support.api import Api
from tests.support.fetching import Canary
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.processes import Dragon
from tests.support.s3 import Look
from tests.support.stores import run_one
from tests.support.waiting import undisturbed

SIGNATURE = "X-Amz-Signature"


@pytest_asyncio.fixture
async def claim(store: Store) -> Claim:
    return await run_one(store)


@pytest.fixture
def outputs(settings: Settings) -> Outputs:
    return Outputs(msgspec.structs.replace(settings, fetch_allow=("127.0.0.1",)))


class Receiver:
    """A server that takes what is put there, or answers as a test says."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, path: str) -> str:
        return str(self.server.make_url("/")) + path

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers=self.headers)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.server.start_server()
    yield receiver
    await receiver.server.close()


def made(folder: Path, name: str = "cat.jpg") -> File:
    path = folder / name
    path.write_bytes(b"meow" * 1000)
    return File(name=name, filename=name, content_type="image/jpeg", path=path)


async def keep(outputs: Outputs, claim: Claim, url: str, *files: File) -> tuple[OutputFile, ...]:
    job = msgspec.structs.replace(claim.job, store="s3_signed", store_url=url)
    return await outputs.keep(msgspec.structs.replace(claim, job=job), files)


async def refusal(outputs: Outputs, claim: Claim, url: str, *files: File) -> TaskError:
    with pytest.raises(TaskError) as refused:
        await keep(outputs, claim, url, *files)
    for secret in ("?", "secret", "127.0.0.1"):
        assert secret not in refused.value.message
    return refused.value


async def test_the_file_is_put_with_its_type_and_size_and_its_url_is_told_without_signature(
    outputs: Outputs, claim: Claim, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    url = look.signed_put("made/cat.jpg", "image/jpeg", faulty.url)
    assert SIGNATURE in url
    faulty.choose = choose(Fault(status=503), 1)
    [file] = await keep(outputs, claim, url, made(tmp_path))
    assert look.get("made/cat.jpg") == ("image/jpeg", b"meow" * 1000)
    assert (file.store, file.path, file.size) == (SIGNED, url.partition("?")[0], 4000)
    assert outputs.url(file, "http://here", claim.job.key) == file.path
    assert faulty.count("PUT") == 2


async def test_what_it_sends_is_what_was_signed(
    outputs: Outputs, claim: Claim, receiver: Receiver, tmp_path: Path
) -> None:
    url = receiver.url("a%2Fb/c%20d?sig=%2Bsecret%3D&x=a+b")
    [file] = await keep(outputs, claim, url, made(tmp_path))
    [(headers, body)] = receiver.got
    assert file.path == receiver.url("a%2Fb/c%20d")
    assert body == b"meow" * 1000
    assert (headers["Content-Type"], headers["Content-Length"]) == ("image/jpeg", "4000")
    assert "Transfer-Encoding" not in headers
    assert "Authorization" not in headers


async def test_there_is_room_for_one_file(
    outputs: Outputs, claim: Claim, receiver: Receiver, tmp_path: Path
) -> None:
    files = made(tmp_path, "a.jpg"), made(tmp_path, "b.jpg")
    error = await refusal(outputs, claim, receiver.url("x?secret"), *files)
    assert error.message == "task_store s3_signed has room for one file, and the task made 2"
    assert await keep(outputs, claim, receiver.url("x?secret")) == ()
    assert receiver.got == []


async def test_a_playlist_would_lead_nowhere(
    outputs: Outputs, claim: Claim, receiver: Receiver, tmp_path: Path
) -> None:
    playlist = msgspec.structs.replace(made(tmp_path), content_type="application/vnd.apple.mpegurl")
    error = await refusal(outputs, claim, receiver.url("x?secret"), playlist)
    assert error.message.endswith("it names other files, which would not be found from there")
    assert receiver.got == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    outputs: Outputs, claim: Claim, receiver: Receiver, canary: Canary, tmp_path: Path, status: int
) -> None:
    receiver.status, receiver.headers = status, {"Location": f"http://127.0.0.1:{canary.port}/x"}
    error = await refusal(outputs, claim, receiver.url("x?secret"), made(tmp_path))
    assert isinstance(error, TaskFailed)
    assert f"the server answered {status}" in error.message
    assert not canary.was_touched


async def test_a_refusal_is_told_at_once(
    outputs: Outputs, claim: Claim, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = 403
    error = await refusal(outputs, claim, receiver.url("x?secret"), made(tmp_path))
    assert isinstance(error, TaskFailed)
    words = "'cat.jpg' could not be put at the URL of task_store: the server answered 403 Forbidden"
    assert error.message == words
    assert len(receiver.got) == 1


async def test_a_server_that_stays_away_interrupts_the_task(
    outputs: Outputs, claim: Claim, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = 503
    error = await refusal(outputs, claim, receiver.url("x?secret"), made(tmp_path))
    assert isinstance(error, TaskInterrupted)
    assert len(receiver.got) == 4


async def test_a_connection_that_breaks_off_is_tried_again(
    outputs: Outputs, claim: Claim, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    url = look.signed_put("cat.jpg", "image/jpeg", faulty.url)
    faulty.choose = choose(Fault(bytes_up=100), 2)
    await keep(outputs, claim, url, made(tmp_path))
    assert look.get("cat.jpg")[1] == b"meow" * 1000


@pytest.mark.parametrize("takes_all", [True, False])
async def test_a_server_that_just_holds_the_connection_is_given_up(
    settings: Settings, claim: Claim, tmp_path: Path, takes_all: bool
) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while takes_all and await reader.read(2**20):
                pass
        await given_up.wait()
        writer.close()

    given_up = asyncio.Event()
    allowed = msgspec.structs.replace(
        settings,
        fetch_allow=("127.0.0.1",),
        fetch_timeout_seconds=1.0,
        fetch_min_bytes_per_second=100_000_000,
        fetch_media_timeout_seconds=600.0 if takes_all else 3.0,
    )
    file = made(tmp_path)
    # More than the buffers on the way hold.
    os.truncate(file.path, 100 if takes_all else 100_000_000)
    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/x?secret"
        error = await refusal(Outputs(allowed), claim, url, file)
        given_up.set()
    assert isinstance(error, TaskFailed)
    assert (
        "the server took less than 100000000 bytes per second, or gave no answer" in error.message
    )


async def test_a_server_that_takes_it_slowly_is_not_given_up(
    settings: Settings, claim: Claim, tmp_path: Path
) -> None:
    size = 12_000_000
    taken: list[int] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(taken)
        taken.append(0)
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {size}".encode() in head
        began = asyncio.get_running_loop().time()
        while taken[place] < size and (data := await reader.read(40_000)):
            taken[place] += len(data)
            is_slow = asyncio.get_running_loop().time() < began + 4.0
            await asyncio.sleep(0.1 if is_slow else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    allowed = msgspec.structs.replace(
        settings,
        fetch_allow=("127.0.0.1",),
        fetch_min_bytes_per_second=40_000,
        fetch_media_timeout_seconds=9.0,
    )
    file = made(tmp_path)
    # More than the buffers on the way hold: those of the system fill at once.
    os.truncate(file.path, size)
    async with await asyncio.start_server(take, "127.0.0.1", 0, limit=40_000) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/x?secret"
        await undisturbed(lambda: keep(Outputs(allowed), claim, url, file))
    assert taken[-1] == size


async def test_no_address_that_is_not_allowed_is_reached(
    settings: Settings, claim: Claim, canary: Canary, tmp_path: Path
) -> None:
    error = await refusal(
        Outputs(settings), claim, f"http://127.0.0.1:{canary.port}/x?secret", made(tmp_path)
    )
    assert isinstance(error, TaskFailed)
    assert "an address or a port that is not allowed" in error.message
    assert not canary.was_touched


# As a client sees it


def thumb(api: Api, url: str, **store: Any) -> dict[str, Any]:
    return {
        "task_name": "image.thumb",
        "url": f"{api.url}/static/sample.jpg",
        "width": 20,
        "task_store": {"type": "s3_signed", "url": url, **store},
    }


async def test_a_task_puts_its_file_where_its_client_said(
    dragon: Dragon, api: Api, look: Look
) -> None:
    url = look.signed_put("thumb.jpg", "image/jpeg")
    final = await api.run(**thumb(api, url))
    assert final["result"]["output"] == url.partition("?")[0]
    content_type, content = look.get("thumb.jpg")
    assert (content_type, content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    file = await api.ask("GET", f"/v1/file/output?task={final['key']}")
    assert file.headers["Location"] == url.partition("?")[0]
    served = await api.ask("GET", f"/files/{final['key']}/output.jpg")
    assert (served.status, served.headers["Location"]) == (302, url.partition("?")[0])
    _, [details] = await api.get(f"/v2/status?tasks={final['key']}&details=true")
    assert details["details"]["task_store"] == {"type": "s3_signed"}
    assert SIGNATURE not in dragon.log()


@pytest.mark.parametrize(
    "store",
    [
        {"type": "s3_signed"},
        {"type": "s3_signed", "url": "ftp://x/y"},
        {"type": "persistent", "url": "http://x/y"},
        {"type": "volatile", "url": "http://x/y"},
        {"type": "s3"},
        "s3_signed",
    ],
    ids=repr,
)
async def test_a_store_that_is_none_is_refused(api: Api, store: Any) -> None:
    final = await api.run(task_name="hello", name="John", task_store=store)
    assert final["status"] == "error"
    assert 'or {"type": "s3_signed", "url": URL}' in final["result"]
