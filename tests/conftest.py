"""Fixtures: one real Dragon and one real Valkey for each test process, a source server, a store."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from dragon.settings import Settings
from dragon.store.store import Store
from tests.support import MEDIA, SECRET, Dragon, valkey_server


@pytest.fixture(scope="session")
def dragon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon that many tests share: with the accounts and tasks of tests/support.py."""
    with Dragon(tmp_path_factory.mktemp("dragon")) as dragon:
        yield dragon


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey that many tests share; each uses a prefix of its own."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def settings(valkey: str, tmp_path: Path) -> Settings:
    """Settings on the shared Valkey, with a prefix and a data directory of the test's own."""
    return Settings(redis=valkey, redis_prefix=secrets.token_hex(6), data=str(tmp_path))


@pytest_asyncio.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with Store(settings) as store:
        yield store


class Api:
    """A client of the shared Dragon with acme's secret; other headers replace it."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.headers = {"Authorization": f"Secret {SECRET}"}

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a POST; redirects are not followed."""
        async with self.session.post(
            self.url + path, json=body, headers=headers or self.headers, allow_redirects=False
        ) as response:
            return response.status, await response.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self.session.get(
            self.url + path, headers=headers or self.headers, allow_redirects=False
        ) as response:
            return response.status, await response.json()

    async def run(self, **definition: Any) -> dict[str, Any]:
        """The final status of one task."""
        status, [final] = await self.post("/v1/create", {"tasks": [definition], "block": True})
        assert status == 200
        assert isinstance(final, dict)
        return final


@pytest_asyncio.fixture
async def api(dragon: Dragon) -> AsyncIterator[Api]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Api(session, dragon.url)


class Origin:
    """A web server with sources: the files of tests/media, and what a test adds to `bodies`."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {path.name: path.read_bytes() for path in MEDIA.iterdir()}
        self.hits: list[str] = []
        app = web.Application()
        app.router.add_get("/{name}", self._serve)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, name: str) -> str:
        return str(self.server.make_url("/" + name))

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.hits.append(name)
        if name not in self.bodies:
            raise web.HTTPNotFound
        return web.Response(body=self.bodies[name])


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.server.start_server()
    yield origin
    await origin.server.close()
