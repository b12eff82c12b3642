"""Fixtures: one real Dragon and one real Valkey for each test process, a source server, a store."""

import gc
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
import redis.asyncio as redis
from playwright.async_api import Page
from structlog.testing import capture_logs

from dragon.settings import Settings
from dragon.store.store import Store
from tests.chaos.proxy import Proxy
from tests.support.accounts import CONFIG
from tests.support.api import Api, api_of
from tests.support.broker import Broker
from tests.support.browser import Site, chromium, open_page
from tests.support.clips import Clips
from tests.support.decoders import Announcements, Logs
from tests.support.fetching import Canary
from tests.support.gate import Gate
from tests.support.http_faults import FaultyServer
from tests.support.module_page import open_module
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.receivers import Receiver, receiving
from tests.support.s3 import S3, Look, s3_server
from tests.support.studio import Studio, open_studio
from tests.support.valkey import valkey_server
from tests.support.waiting import DEADLINE_SECONDS
from tests.support.watchers import Process, start_process

# The same examples in each run, however slow the machine is: `--hypothesis-profile default`
# draws others.
hypothesis.settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")

# By default, the collector looks through thousands of tests whenever 700 more objects are there.
gc.set_threshold(20_000, 20, 50)


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end."""
    gc.freeze()


@pytest.fixture(scope="session")
def dragon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon that many tests share: with the accounts of tests/support/accounts.py."""
    # Its workers live: none is given up because the machine held it up.
    lease = {"DRAGON_LEASE_SECONDS": "20"}
    with Dragon(tmp_path_factory.mktemp("dragon"), config=CONFIG, **lease) as dragon:
        yield dragon


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon as it comes: without a configuration."""
    with Dragon(tmp_path_factory.mktemp("demo"), config=None) as demo:
        yield demo


@pytest.fixture
def no_bugs(dragon: Dragon) -> Iterator[None]:
    """Whatever the test sent, the shared server never met what it had no words for."""
    before = len(dragon.log())
    yield
    assert not any(bug in dragon.log()[before:] for bug in ('"request_bug"', '"stream_bug"'))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey that many tests share; each uses a prefix of its own."""
    with valkey_server(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A store of the S3 protocol; each test has a bucket of its own."""
    with s3_server() as s3:
        yield s3


@pytest.fixture
def look(s3: S3) -> Look:
    """Into a bucket of the test's own."""
    return s3.make_bucket()


@pytest_asyncio.fixture
async def faulty(s3: S3) -> AsyncIterator[FaultyServer]:
    """The same store, with faults between."""
    async with FaultyServer(s3.address) as faulty:
        yield faulty


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Short videos and sounds, made when one of the test processes first asks for them."""
    own = tmp_path_factory.getbasetemp()
    return Clips((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "clips")


@pytest.fixture
def settings(valkey: str, tmp_path: Path) -> Settings:
    """Settings on the shared Valkey, with a prefix and a data directory of the test's own.

    Nobody gives up a Valkey that many tests keep busy.
    """
    return Settings(
        redis=valkey,
        redis_prefix=secrets.token_hex(6),
        data=str(tmp_path),
        redis_timeout_seconds=DEADLINE_SECONDS,
    )


@pytest_asyncio.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    async with Store(settings) as store:
        yield store


@pytest_asyncio.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    async with open_studio(tmp_path) as studio:
        yield studio


@pytest_asyncio.fixture
async def broker(dragon: Dragon) -> AsyncIterator[Broker]:
    socket = dragon.data / "valkey" / "valkey.sock"
    async with redis.Redis(unix_socket_path=str(socket)) as client:
        yield Broker(client)


@pytest_asyncio.fixture
async def api(dragon: Dragon) -> AsyncIterator[Api]:
    async with api_of(dragon.url) as api:
        yield api


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    await origin.server.start_server()
    yield origin
    await origin.server.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def logs() -> Iterator[Logs]:
    """What this process logs meanwhile."""
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def announcements(tmp_path: Path) -> Iterator[Announcements]:
    announcements = Announcements(tmp_path / "announcements")
    yield announcements
    announcements.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture
def own(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Dragon]:
    """A Dragon of the test's own, whose processes it may kill.

    A parameter is its configuration, marks its lease and how long it waits for Valkey.
    """
    names = {"lease": "DRAGON_LEASE_SECONDS", "valkey": "DRAGON_REDIS_TIMEOUT_SECONDS"}
    marks = {name: request.node.get_closest_marker(name) for name in names}
    times = {names[name]: str(mark.args[0]) for name, mark in marks.items() if mark}
    with Dragon(tmp_path / "d", config=getattr(request, "param", CONFIG), **times) as own:
        yield own


@pytest_asyncio.fixture
async def client(own: Dragon) -> AsyncIterator[Api]:
    # Each request has a connection of its own: after a kill the old ones are dead.
    async with api_of(own.url, is_kept_alive=False) as client:
        yield client


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest_asyncio.fixture
async def process(settings: Settings) -> AsyncIterator[Process]:
    async with start_process(settings) as process:
        yield process


@pytest_asyncio.fixture
async def other(settings: Settings) -> AsyncIterator[Process]:
    async with start_process(settings) as other:
        yield other


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest_asyncio.fixture
async def page(browser: str) -> AsyncIterator[Page]:
    async with open_page(browser) as page:
        yield page


@pytest_asyncio.fixture
async def site(dragon: Dragon, origin: Origin, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(dragon, origin.url("rocket.jpg"), tmp_path / "gate")
    await site.server.start_server()
    yield site
    await site.server.close()


@pytest_asyncio.fixture
async def opened(page: Page, site: Site) -> Page:
    """A page of another origin that has dragon.js."""
    await open_module(page, site)
    return page


@pytest.fixture
def gated(site: Site) -> dict[str, Any]:
    """A task that waits until the site's gate is open."""
    return {"task_name": "site.gate", "path": str(site.gate)}


@pytest_asyncio.fixture
async def proxy(dragon: Dragon) -> AsyncIterator[Proxy]:
    """Stands before the shared Dragon."""
    async with Proxy(dragon.url.removeprefix("http://")) as proxy:
        yield proxy
