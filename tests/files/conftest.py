"""Fixtures for files: a client that stores some, places where outputs lie, and a bucket."""

from pathlib import Path

import pytest
import pytest_asyncio

from dragon.engine.files.outputs import Outputs
from dragon.settings import Settings
from dragon.storage.bucket import Bucket
from tests.files.places import Place, in_bucket
from tests.support.api import Api
from tests.support.http_faults import FaultyServer
from tests.support.keeper import Keeper
from tests.support.s3 import Look


@pytest_asyncio.fixture
async def keeper(api: Api) -> Keeper:
    """Of an account that has nothing stored yet."""
    keeper = Keeper(api)
    await keeper.delete(max_age=0)
    return keeper


@pytest.fixture
def disk(settings: Settings) -> Place:
    root = Path(settings.data) / "files"

    def left() -> list[str]:
        below = list(root.rglob("*"))
        assert all(any(one.iterdir()) for one in below if one.is_dir()), "some are empty"
        return sorted(str(one.relative_to(root)) for one in below if one.is_file())

    return Place(Outputs(settings), left, lambda path: (root / path).read_bytes())


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, settings: Settings, disk: Place) -> Place:
    if request.param == "disk":
        return disk
    look: Look = request.getfixturevalue("look")
    outputs = in_bucket(settings, look.settings())
    return Place(outputs, look.paths, lambda path: look.get(path)[1])


@pytest.fixture
def bucket(look: Look, faulty: FaultyServer) -> Bucket:
    return Bucket("media", look.settings(faulty.url))
