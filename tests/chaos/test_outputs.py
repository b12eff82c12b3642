"""Output files of workers that are killed while they write them."""

import asyncio
import random
from contextlib import suppress

import pytest

from tests.chaos.check import check, written
from tests.chaos.harness import Definition, Fleet
from tests.support.paths import matching
from tests.support.processes import Part


@pytest.mark.chaos(ci=20, long=200)
async def test_p23_a_file_is_there_whole_or_not_at_all(
    short_leased: Fleet, chance: random.Random, n: int
) -> None:
    fleet = short_leased
    for _ in range(n):
        keys = await fleet.submit([write(chance) for _ in range(8)], chance)
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read_again_and_again(fleet, key)) for key in keys]
            await asyncio.sleep(chance.uniform(0, 0.3))
            await fleet.kill(chance.choice(fleet.workers))
            await assert_files_are_whole(fleet)
            await asyncio.gather(fleet.start("worker"), fleet.wait(keys))
            for reader in readers:
                reader.cancel()
    await check(fleet, is_exact=True)
    await assert_files_are_whole(fleet)


def write(chance: random.Random) -> Definition:
    """Up to some megabytes, another text each."""
    return {
        "task_name": "site.write",
        "text": f"{chance.getrandbits(32)} ",
        "repeats": chance.choice([1, 1000, 100_000]),
        "steps": chance.randint(1, 8),
    }


async def assert_files_are_whole(fleet: Fleet) -> None:
    """All that lie where files are served from, whether or not a record names them."""
    asked = await fleet.params()
    for path in matching(fleet.data, "files/*/*/*/*/*"):
        # One that is not needed is deleted at last.
        with suppress(FileNotFoundError):
            assert path.read_bytes() == written(asked[path.parts[-3]]), path


async def read_again_and_again(fleet: Fleet, key: str) -> None:
    """As a client that knows where the file will be; until it is cancelled."""
    asked = (await fleet.params())[key]
    while True:
        await assert_is_served_whole(fleet, fleet.servers[0], key, written(asked))
        await asyncio.sleep(0.05)


async def assert_is_served_whole(fleet: Fleet, server: Part, key: str, whole: bytes) -> None:
    async with fleet.session.get(f"{server.url()}/files/{key}/output.txt") as answer:
        assert answer.status in (200, 404)
        if answer.status == 200:
            assert await answer.read() == whole
