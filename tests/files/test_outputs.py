"""Where files of outputs lie, on the local disk and in a store, and how they are deleted."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from dragon.engine.worker.telling import Telling
from dragon.errors import TaskFailed, TaskInterrupted
from dragon.schemas import SIGNED
from dragon.settings import Settings, StoreSettings
from dragon.storage.disk import Disk
from dragon.store.store import Store
from dragon.task import Files
from tests.files.places import Place, end, in_bucket, made
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.jobs import line_of
from tests.support.s3 import Look
from tests.support.stores import FILE, read, run_one


async def test_a_path_tells_account_day_key_and_attempt(
    store: Store, place: Place, tmp_path: Path
) -> None:
    claim = await run_one(store)
    [file] = await place.outputs.keep(claim, [made(tmp_path)])
    job = claim.job
    assert file.path == f"{job.account}/{job.queued[:10]}/{job.key}/{claim.token}/cat.jpg"
    assert (file.name, file.content_type, file.size) == ("cat.jpg", "image/jpeg", 4)
    assert place.left() == [file.path]
    assert place.read(file.path) == b"meow"
    assert place.outputs.url(file, "http://here", job.key) == f"http://here/files/{job.key}/cat.jpg"


async def test_the_file_tells_which_store_has_it(
    store: Store, settings: Settings, disk: Place, look: Look, tmp_path: Path
) -> None:
    claim = await run_one(store)
    [here] = await disk.outputs.keep(claim, [made(tmp_path)])
    [there] = await in_bucket(settings, look.settings()).keep(claim, [made(tmp_path)])
    assert (here.store, there.store) == ("", "media")


def test_urls_lead_to_where_anybody_may_read(settings: Settings, disk: Place) -> None:
    public = in_bucket(
        settings, StoreSettings(url="s3://media", public_url="https://cdn.example.com/")
    )
    there = msgspec.structs.replace(FILE, store="media")
    assert public.url(there, "http://here", "KEY") == "https://cdn.example.com/a/b"
    assert public.url(FILE, "http://here", "KEY") == "http://here/files/KEY/out.bin"
    assert disk.outputs.url(there, "http://here", "KEY") == "http://here/files/KEY/out.bin"
    playlist = msgspec.structs.replace(there, content_type="application/vnd.apple.mpegurl")
    assert public.url(playlist, "http://here", "KEY") == "http://here/files/KEY/out.bin"
    elsewhere = msgspec.structs.replace(FILE, store=SIGNED, path="https://acme.example.com/x")
    assert disk.outputs.url(elsewhere, "http://here", "KEY") == "https://acme.example.com/x"


async def test_a_file_that_was_kept_with_a_partial_result_is_kept_again(
    store: Store, place: Place, tmp_path: Path
) -> None:
    claim = await run_one(store)
    file = made(tmp_path)
    [first] = await place.outputs.keep(claim, [file])
    assert await place.outputs.keep(claim, [file]) == (first,)
    file.path.write_bytes(b"purr!")
    [second] = await place.outputs.keep(claim, [file])
    assert (second.path, second.size) == (first.path, 5)
    assert place.read(second.path) == b"purr!"


async def test_what_a_run_kept_in_vain_is_discarded_and_nothing_else(
    store: Store, place: Place, tmp_path: Path
) -> None:
    claim = await run_one(store)
    later = msgspec.structs.replace(claim, token=claim.token + 1)
    await place.outputs.keep(claim, [made(tmp_path)])
    [winner] = await place.outputs.keep(later, [made(tmp_path)])
    await place.outputs.discard(claim)
    await place.outputs.discard(claim)
    assert place.left() == [winner.path]


async def test_files_are_deleted_one_by_one(store: Store, place: Place, tmp_path: Path) -> None:
    claim = await run_one(store)
    files = await place.outputs.keep(claim, [made(tmp_path, "a.jpg"), made(tmp_path, "b.jpg")])
    await place.outputs.delete_files(files[:1])
    assert place.left() == [files[1].path]
    await place.outputs.delete_files(files)
    assert place.left() == []


async def test_files_stay_in_reach_when_outputs_go_elsewhere_from_now_on(
    store: Store, settings: Settings, disk: Place, look: Look, tmp_path: Path
) -> None:
    claim = await run_one(store)
    moved = in_bucket(settings, look.settings())
    here = await disk.outputs.keep(claim, [made(tmp_path, "a")])
    there = await moved.keep(claim, [made(tmp_path, "b")])
    await moved.delete_files([*here, *there])
    assert disk.left() == look.paths() == []


async def test_files_of_a_store_that_is_configured_no_more_hold_up_nothing(
    store: Store, disk: Place
) -> None:
    claim = await run_one(store)
    gone = [msgspec.structs.replace(FILE, store=name) for name in ("gone", SIGNED)]
    await store.finish(claim, "success", line_of(claim.job.key, "success"), gone)
    await disk.outputs.delete([await read(store, claim.job.key)])


async def test_nothing_is_asked_of_a_store_for_a_job_without_files(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url))
    claim = await run_one(store)
    await end(store, outputs, claim)
    await outputs.delete([await read(store, claim.job.key)])
    # It would be asked for a job that failed, but deliveries make no files.
    failed = await run_one(store)
    await store.finish(failed, "error", line_of(failed.job.key, "error"), ())
    record = await read(store, failed.job.key)
    job = msgspec.structs.replace(record.job, kind="hook")
    await outputs.delete([msgspec.structs.replace(record, job=job)])
    assert faulty.requests == []
    await outputs.delete([record])
    assert faulty.count("GET") == 1


async def test_a_store_that_does_not_answer_interrupts_the_task(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url, retry_seconds=0.3))
    faulty.choose = choose(Fault(status=503))
    claim = await run_one(store)
    words = "'b' could not be kept: the store of files does not answer"
    with pytest.raises(TaskInterrupted, match=words):
        await outputs.keep(claim, [made(tmp_path, "b")])
    await outputs.discard(claim)


async def test_a_store_that_refuses_fails_the_task(
    store: Store, settings: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    outputs = in_bucket(settings, look.settings(faulty.url))
    faulty.choose = choose(Fault(status=403), part="b.jpg")
    claim = await run_one(store)
    words = "'b.jpg' could not be kept: the store of files refuses what it is asked for"
    with pytest.raises(TaskFailed, match=words):
        await outputs.keep(claim, [made(tmp_path, "a.jpg"), made(tmp_path, "b.jpg")])


async def test_of_a_result_of_too_many_files_none_is_kept(
    store: Store, settings: Settings, disk: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    few = msgspec.structs.replace(settings, max_result_files=2)
    files = [made(tmp_path, name) for name in "abc"]
    words = r"the result has 3 files, more than the limit of 2 \(max_result_files\)"
    with pytest.raises(TaskFailed, match=words):
        await Telling(store, disk.outputs, held, few).whole({"all": Files(files=tuple(files))})
    assert disk.left() == []
    _, kept = await Telling(store, disk.outputs, held, few).whole({"a": files[0], "b": files[1]})
    assert disk.left() == sorted(file.path for file in kept)


async def test_files_from_before_paths_told_account_and_day_are_deleted_too(
    store: Store, disk: Place, tmp_path: Path
) -> None:
    claim = await run_one(store)
    await end(store, disk.outputs, claim, made(tmp_path))
    record = await read(store, claim.job.key)
    [file] = record.files
    old = msgspec.structs.replace(file, path=f"AB/{claim.job.key}/1/cat.jpg")
    disk.outputs.path(old).parent.mkdir(parents=True)
    disk.outputs.path(file).rename(disk.outputs.path(old))
    await disk.outputs.delete([msgspec.structs.replace(record, files=(old,))])
    assert disk.left() == []


async def test_a_file_that_is_on_its_way_has_arrived_when_its_run_is_cancelled(
    tmp_path: Path,
) -> None:
    for number in range(20):
        file = tmp_path / "output.txt"
        file.write_text("kept")
        keeping = asyncio.create_task(Disk(str(tmp_path)).keep(file, f"{number}/output.txt"))
        await asyncio.sleep(0)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        assert (tmp_path / "files" / str(number) / "output.txt").read_text() == "kept"
