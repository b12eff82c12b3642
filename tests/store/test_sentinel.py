"""Dragon on a Valkey that Sentinels watch over: its replica takes over when it dies."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from dragon.errors import Unavailable
from dragon.settings import Settings
from dragon.store.store import Store
from tests.store.contract import (  # noqa: F401 - they run here with this module's client
    test_a_job_that_runs_is_cancelled,
    test_a_stream_tells_of_200_jobs_to_their_ends,
    test_a_thumbnail_is_made_and_read,
    test_an_account_is_held_to_its_limits,
    test_it_is_ready_and_tells_figures,
    test_repeated_requests_are_answered_by_the_first_ones_jobs,
    test_stored_files_are_listed_deleted_and_kept,
    test_what_is_blocked_for_has_ended,
)
from tests.store.load import under_load
from tests.support.api import Api, api_of
from tests.support.faults import ends
from tests.support.gate import Gate
from tests.support.topologies import PATIENT_MILLISECONDS, Watched, service, watched
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.wire import next_line, read_lines


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("valkeys")) as valkeys:
        yield valkeys


@pytest.fixture(scope="module")
def dragon_there(valkeys: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("dragon"), valkeys.url) as dragon_there:
        yield dragon_there


@pytest_asyncio.fixture
async def client(dragon_there: str) -> AsyncIterator[Api]:
    async with api_of(dragon_there) as client:
        yield client


async def test_the_replica_goes_on_with_what_it_knows_when_the_primary_is_killed(
    valkeys: Watched, client: Api, gate: Gate
) -> None:
    async with client.create_stream(gate.task()) as stream:
        [watched] = await next_line(stream)
        await gate.runs(1)
        async with under_load(client) as load:
            killed = valkeys.primary
            valkeys.believe_dead_after(1000)
            known_until = time.monotonic()
            await asyncio.to_thread(killed.replicate)
            killed.kill()
            await load.until_refused()
            await load.until_acknowledged(40)
            back_at = min(at for at in load.acknowledged.values() if at > load.refused_at[-1])
        gate.open()
        *_, last = await read_lines(stream)
    assert (last["key"], last["status"]) == (watched["key"], "success")
    # One that was held up may still name the dead one.
    await eventually(lambda: valkeys.all_know_another_than(killed))
    valkeys.believe_dead_after(PATIENT_MILLISECONDS)
    settings = Settings(redis=valkeys.url, redis_timeout_seconds=DEADLINE_SECONDS)
    async with Store(settings) as store:
        records = await store.read(list(load.acknowledged))
    known = [record.job.key for record in records if record]
    assert {final["status"] for final in await ends(client, known)} == {"success"}
    # Only what the replica had not been sent yet may be lost: what came in the last moment.
    for key in load.acknowledged.keys() - set(known):
        assert known_until < load.acknowledged[key] < back_at


async def test_no_sentinel_in_reach_is_told_in_time() -> None:
    async with Store(Settings(redis="sentinel://127.0.0.1:1,127.0.0.1:2/jobs")) as store:
        with pytest.raises(Unavailable):
            await store.read_clock()
