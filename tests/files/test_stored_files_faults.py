"""What a client gets of a stored file while the store fails."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from dragon.http.files.stored import send_stored
from dragon.http.middleware import answer
from dragon.storage.bucket import Bucket
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.s3 import Look
from tests.support.stores import FILE


@pytest_asyncio.fixture
async def passing_on(look: Look, faulty: FaultyServer) -> AsyncIterator[str]:
    """A server that passes on the file a/b of a bucket behind faults."""
    settings = look.settings(faulty.url, retry_seconds=0.3)
    bucket = Bucket("media", settings)

    async def serve(request: web.Request) -> web.StreamResponse:
        return await send_stored(request, bucket, FILE, {})

    app = web.Application(middlewares=[answer])
    app.router.add_get("/", serve)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield str(server.make_url("/"))
    await server.close()


async def test_a_store_that_does_not_answer_is_told_as_unavailable(
    passing_on: str, faulty: FaultyServer
) -> None:
    faulty.choose = choose(Fault(status=500))
    async with aiohttp.ClientSession() as session, session.get(passing_on) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert (await response.json())["message"] == "the store of files does not answer"


async def test_a_download_that_the_store_breaks_off_is_no_whole_answer(
    passing_on: str, look: Look, faulty: FaultyServer
) -> None:
    look.put("a/b", b"x" * 3_000_000)
    faulty.choose = lambda _: Fault(bytes_down=2000) if faulty.count("GET") > 1 else Fault()
    async with aiohttp.ClientSession() as session, session.get(passing_on) as response:
        assert (response.status, response.content_length) == (200, 3_000_000)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
