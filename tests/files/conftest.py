"""Fixtures for files: a client that stores some, places where outputs lie, and buckets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from dragon.engine.files.outputs import Outputs
from dragon.settings import Settings
from dragon.storage.bucket import Bucket
from tests.files.places import Place, in_bucket
from tests.support.api import Api
from tests.support.azure_server import Azure, azure_server
from tests.support.http_faults import FaultyServer
from tests.support.keeper import Keeper
from tests.support.s3 import Look


@pytest_asyncio.fixture
async def keeper(api: Api) -> Keeper:
    """Of an account that has nothing stored yet."""
    keeper = Keeper(api)
    await keeper.delete(max_age=0)
    return keeper


@pytest_asyncio.fixture
async def azure() -> AsyncIterator[Azure]:
    """A container of the test's own."""
    async with azure_server() as azure:
        yield azure


@pytest_asyncio.fixture
async def faulty_azure(azure: Azure) -> AsyncIterator[FaultyServer]:
    """The same container, with faults between."""
    async with FaultyServer(azure.address) as faulty:
        yield faulty


@pytest.fixture
def disk(settings: Settings) -> Place:
    root = Path(settings.data) / "files"

    def left() -> list[str]:
        below = list(root.rglob("*"))
        assert all(any(one.iterdir()) for one in below if one.is_dir()), "some are empty"
        return sorted(str(one.relative_to(root)) for one in below if one.is_file())

    return Place(Outputs(settings), left, lambda path: (root / path).read_bytes())


@pytest.fixture(params=["disk", "s3", "azure"])
def place(request: pytest.FixtureRequest, settings: Settings, disk: Place) -> Place:
    if request.param == "disk":
        return disk
    look: Look | Azure = request.getfixturevalue("look" if request.param == "s3" else "azure")
    outputs = in_bucket(settings, look.settings())
    return Place(outputs, look.paths, lambda path: look.get(path)[1])


@pytest.fixture
def bucket(look: Look, faulty: FaultyServer) -> Bucket:
    return Bucket("media", look.settings(faulty.url))
