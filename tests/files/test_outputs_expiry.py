"""What has lived its time goes with all files that it left, or stays until they can go."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from dragon.engine.files.expiry import BATCH, Expiry
from dragon.engine.files.outputs import Outputs
from dragon.engine.worker.telling import Telling
from dragon.errors import StorageUnavailable, TaskFailed
from dragon.settings import Settings
from dragon.store.store import Store
from tests.files.places import Place, end, expire, in_bucket, made
from tests.support.decoders import Logs
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.jobs import line_of
from tests.support.s3 import Look
from tests.support.stores import claim, ended_keys, make_due, read, retry, run_one


async def test_a_record_is_forgotten_with_the_files_of_all_its_attempts(
    store: Store, place: Place, tmp_path: Path
) -> None:
    lost = await run_one(store)
    await place.outputs.keep(lost, [made(tmp_path)])
    await retry(store, lost)
    [held] = await claim(store)
    await end(store, place.outputs, held, made(tmp_path))
    assert len(place.left()) == 2
    assert await expire(store, place.outputs) == 0
    assert await store.read([held.job.key]) == [None]
    assert place.left() == []


async def test_what_was_kept_with_a_partial_result_alone_goes_with_the_rest(
    store: Store, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    first = await place.outputs.keep(held, [made(tmp_path, "first")])
    assert await store.progress(held, line_of(held.job.key, "executing"), first)
    await end(store, place.outputs, held)
    assert await expire(store, place.outputs) == 0
    assert place.left() == []


async def test_files_of_a_partial_result_that_was_refused_go_with_the_rest(
    store: Store, settings: Settings, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    small = msgspec.structs.replace(settings, max_result_bytes=100)
    telling = Telling(store, place.outputs, held, small)
    with pytest.raises(TaskFailed, match="max_result_bytes"):
        await telling.partial({"words": "long" * 100, "first": made(tmp_path, "first")})
    result, files = await telling.whole({"second": made(tmp_path, "second")})
    assert len(place.left()) == 2
    line = line_of(held.job.key, "success", result=result)
    assert await store.finish(held, "success", line, files)
    assert await expire(store, place.outputs) == 0
    assert place.left() == []


async def test_files_of_a_run_that_was_handed_back_go_with_its_cancelled_job(
    store: Store, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    await place.outputs.keep(held, [made(tmp_path)])
    assert await retry(store, held, is_counted=False)
    await store.cancel([held.job.key])
    assert await expire(store, place.outputs) == 0
    assert place.left() == []


async def test_lost_files_beside_those_that_count_go_also_from_a_store_that_is_chosen_no_more(
    store: Store, settings: Settings, look: Look, tmp_path: Path
) -> None:
    there = in_bucket(settings, look.settings())
    lost = await run_one(store)
    await there.keep(lost, [made(tmp_path)])
    await retry(store, lost)
    [held] = await claim(store)
    await end(store, there, held, made(tmp_path))
    await make_due(store)
    moved = Outputs(msgspec.structs.replace(settings, stores={"media": look.settings()}))
    assert await Expiry(store, moved).run_once() == 0
    assert look.paths() == []


async def test_files_of_many_jobs_are_deleted_with_one_request(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url))
    for _ in range(5):
        await end(store, outputs, await run_one(store), made(tmp_path, "a"), made(tmp_path, "b"))
    await make_due(store)
    faulty.requests.clear()
    # Of several workers each takes what no other has.
    assert await asyncio.gather(*(Expiry(store, outputs).run_once() for _ in range(3))) == [0] * 3
    assert (look.paths(), await ended_keys(store)) == ([], [])
    assert [request.method for request in faulty.requests] == ["POST"]


async def test_a_record_stays_as_long_as_its_files_cannot_be_deleted(
    settings: Settings, look: Look, faulty: FaultyServer, store: Store, tmp_path: Path
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url, retry_seconds=0.3))
    claim = await run_one(store)
    await end(store, outputs, claim, made(tmp_path))
    await make_due(store)
    faulty.choose = choose(Fault(status=503))
    assert await Expiry(store, outputs).run_once() == 1
    # It is left alone for a while, and not tried again and again.
    assert await Expiry(store, outputs).run_once() == 0
    assert await ended_keys(store) == [claim.job.key]
    faulty.choose = choose(Fault(), 0)
    assert await expire(store, outputs) == 0
    assert await ended_keys(store) == look.paths() == []


async def test_a_store_that_is_away_is_waited_for_once_in_a_round(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer, tmp_path: Path, logs: Logs
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url, retry_seconds=0.3))
    for _ in range(BATCH + 1):
        await end(store, outputs, await run_one(store), made(tmp_path))
    last = await run_one(store)
    await end(store, outputs, last)
    await make_due(store)
    faulty.choose = choose(Fault(status=503))
    assert await Expiry(store, outputs).run_once() == BATCH + 1
    assert await store.read([last.job.key]) == [None]
    assert [line["event"] for line in logs].count("files_not_deleted") == 1


async def test_a_job_whose_files_the_store_keeps_holds_up_no_other(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url))
    stuck, fine = await run_one(store), await run_one(store)
    await end(store, outputs, stuck, made(tmp_path))
    await end(store, outputs, fine, made(tmp_path))
    await make_due(store)
    # The first request is for both, the second for the first of them.
    [first, _] = await ended_keys(store)
    faulty.choose = choose(Fault(status=403), 2)
    assert await Expiry(store, outputs).run_once() == 1
    assert await ended_keys(store) == [first]


async def test_one_job_whose_files_cannot_be_deleted_holds_up_no_other(
    store: Store, disk: Place, tmp_path: Path
) -> None:
    stuck, fine = [await run_one(store) for _ in range(2)]
    for held in (stuck, fine):
        await end(store, disk.outputs, held, made(tmp_path))
    [file] = (await read(store, stuck.job.key)).files
    # A directory in the file's place cannot be unlinked, whoever asks.
    disk.outputs.path(file).unlink()
    disk.outputs.path(file).mkdir()
    with pytest.raises(StorageUnavailable, match="files could not be deleted"):
        await disk.outputs.delete_files([file])
    assert await expire(store, disk.outputs) == 1
    assert await ended_keys(store) == [stuck.job.key]
    disk.outputs.path(file).rmdir()
    assert await expire(store, disk.outputs) == 0
    assert await ended_keys(store) == []
