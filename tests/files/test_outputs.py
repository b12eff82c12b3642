"""Where files of outputs lie, on the local disk and in a store, and how they are deleted."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from dragon.engine.files.expiry import BATCH, Expiry
from dragon.engine.files.outputs import Outputs
from dragon.engine.worker.telling import Telling
from dragon.errors import StorageUnavailable, TaskFailed, TaskInterrupted
from dragon.schemas import SIGNED, Claim
from dragon.settings import Settings, StoreSettings
from dragon.storage.disk import Disk
from dragon.store.store import Store
from dragon.task import File
from tests.support.decoders import Logs
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.jobs import line_of
from tests.support.s3 import Look
from tests.support.stores import FILE, claim, ended_keys, make_due, read, retry, run_one


class Place(Struct):
    """Outputs, and a look at what is kept there past them."""

    outputs: Outputs
    left: Callable[[], list[str]]
    read: Callable[[str], bytes]


@pytest.fixture
def disk(settings: Settings) -> Place:
    root = Path(settings.data) / "files"

    def left() -> list[str]:
        below = list(root.rglob("*"))
        assert all(any(one.iterdir()) for one in below if one.is_dir()), "some are empty"
        return sorted(str(one.relative_to(root)) for one in below if one.is_file())

    return Place(Outputs(settings), left, lambda path: (root / path).read_bytes())


def in_bucket(settings: Settings, store: StoreSettings) -> Outputs:
    return Outputs(msgspec.structs.replace(settings, stores={"media": store}, output_store="media"))


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, settings: Settings, disk: Place) -> Place:
    if request.param == "disk":
        return disk
    look: Look = request.getfixturevalue("look")
    outputs = in_bucket(settings, look.settings())
    return Place(outputs, look.paths, lambda path: look.get(path)[1])


def made(folder: Path, name: str = "cat.jpg", content: bytes = b"meow") -> File:
    path = folder / f"made-{name}"
    path.write_bytes(content)
    return File(name=name, filename=name, content_type="image/jpeg", path=path)


async def end(store: Store, outputs: Outputs, claim: Claim, *files: File) -> None:
    """The job has succeeded, with these files."""
    kept = await outputs.keep(claim, files)
    assert await store.finish(claim, "success", line_of(claim.job.key, "success"), kept)


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


async def test_a_record_is_forgotten_with_the_files_of_all_its_attempts(
    store: Store, place: Place, tmp_path: Path
) -> None:
    lost = await run_one(store)
    await place.outputs.keep(lost, [made(tmp_path)])
    await retry(store, lost)
    [held] = await claim(store)
    await end(store, place.outputs, held, made(tmp_path))
    assert len(place.left()) == 2
    await make_due(store)
    assert await Expiry(store, place.outputs).run_once() == 0
    assert await store.read([held.job.key]) == [None]
    assert place.left() == []


async def test_what_was_kept_with_a_partial_result_alone_goes_with_the_rest(
    store: Store, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    first = await place.outputs.keep(held, [made(tmp_path, "first")])
    assert await store.progress(held, line_of(held.job.key, "executing"), first)
    await end(store, place.outputs, held)
    await make_due(store)
    assert await Expiry(store, place.outputs).run_once() == 0
    assert place.left() == []


async def test_files_of_a_partial_result_that_was_refused_go_with_the_rest(
    store: Store, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    telling = Telling(store, place.outputs, held, max_bytes=100)
    with pytest.raises(TaskFailed, match="max_result_bytes"):
        await telling.partial({"words": "long" * 100, "first": made(tmp_path, "first")})
    result, files = await telling.whole({"second": made(tmp_path, "second")})
    assert len(place.left()) == 2
    line = line_of(held.job.key, "success", result=result)
    assert await store.finish(held, "success", line, files)
    await make_due(store)
    assert await Expiry(store, place.outputs).run_once() == 0
    assert place.left() == []


async def test_files_of_a_run_that_was_handed_back_go_with_its_cancelled_job(
    store: Store, place: Place, tmp_path: Path
) -> None:
    held = await run_one(store)
    await place.outputs.keep(held, [made(tmp_path)])
    assert await retry(store, held, is_counted=False)
    await store.cancel([held.job.key])
    await make_due(store)
    assert await Expiry(store, place.outputs).run_once() == 0
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


# When it does not work


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
    await make_due(store)
    assert await Expiry(store, outputs).run_once() == 0
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
    await make_due(store)
    assert await Expiry(store, disk.outputs).run_once() == 1
    assert await ended_keys(store) == [stuck.job.key]
    disk.outputs.path(file).rmdir()
    await make_due(store)
    assert await Expiry(store, disk.outputs).run_once() == 0
    assert await ended_keys(store) == []


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
