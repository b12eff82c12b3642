"""Fixtures of the chaos tests: a seeded chance, how often to try, and a fleet to break."""

import asyncio
import os
import random
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.harness import DISK_BYTES, LEASE_SECONDS, Fleet


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run each fault as often as promised")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Chooses faults and moments; the seed is printed when the test fails."""
    seed = os.environ.get("CHAOS_SEED") or secrets.token_hex(4)
    print(f"the same faults again: CHAOS_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long", False))


@pytest.fixture
def n(request: pytest.FixtureRequest, is_long: bool) -> int:
    """How often: the `ci` of the test's mark, or its `long` with --long."""
    mark = request.node.get_closest_marker("chaos")
    assert mark
    times = mark.kwargs["long" if is_long else "ci"]
    assert isinstance(times, int)
    return times


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(tmp_path) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def short_leased(tmp_path: Path) -> AsyncIterator[Fleet]:
    """What a lost worker held soon runs elsewhere; and so does what the machine held up."""
    async with Fleet(tmp_path, DRAGON_LEASE_SECONDS=f"{LEASE_SECONDS}") as fleet:
        yield fleet


@pytest_asyncio.fixture
async def fleet_of_patience(tmp_path: Path, is_long: bool) -> AsyncIterator[Fleet]:
    """Its servers wait as long as they do by themselves for a client to take a line; or shorter."""
    seconds = "30" if is_long else "4"
    async with Fleet(tmp_path, DRAGON_WRITE_TIMEOUT_SECONDS=seconds) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[Path]:
    """A file system of 64 MB, where root may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    await asyncio.to_thread(subprocess.run, ["mount", "-t", "tmpfs", *options], check=True)
    yield disk
    await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(disk)], check=True)


@pytest_asyncio.fixture
async def fleet_on_small_disk(small_disk: Path, tmp_path: Path) -> AsyncIterator[Fleet]:
    """It works and keeps its files there."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("work", "files"):
        (small_disk / name).mkdir()
        (data / name).symlink_to(small_disk / name)
    async with Fleet(tmp_path, servers=1, workers=1) as fleet:
        yield fleet
