"""The index of stored files on a real Valkey: it holds those of ended jobs, as long as they do."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from dragon.schemas import Claim, OutputFile
from dragon.settings import Settings
from dragon.store.store import Store
from dragon.store.stored import Entry, StoredIndex
from tests.support.jobs import child_of, submission
from tests.support.stores import claim, finish, forget_all, made, read, run_one, submit
from tests.support.waiting import DEADLINE_SECONDS

DAY_SECONDS = 86_400


@pytest.fixture
def index(store: Store) -> StoredIndex:
    return StoredIndex(store)


async def entries(index: StoredIndex, account: str = "acme") -> list[Entry]:
    return await index.page(account, 0, "", "", 1000)


def path_of(file: OutputFile) -> str:
    return file.path.partition("/")[2]


async def end(store: Store, *sizes: int, **options: Any) -> tuple[Claim, Sequence[OutputFile]]:
    """A job that ended with files as large as that."""
    held = await run_one(store, **options)
    files = made(held, *sizes)
    assert await finish(store, held, files=files)
    return held, files


async def delete(index: StoredIndex, files: Sequence[OutputFile]) -> tuple[int, int]:
    """All of one job."""
    account, _, key, *_ = files[0].path.split("/")
    return await index.unstore(account, 0, {key: list(map(path_of, files))})


async def test_files_are_stored_when_their_job_ends(store: Store, index: StoredIndex) -> None:
    held = await run_one(store)
    files = made(held, 3, 40)
    await store.progress(held, b"{}", files)
    assert await entries(index) == []
    before = store.clock.now()
    await finish(store, held, files=files)
    found = await entries(index)
    assert [(entry.path, entry.size) for entry in found] == [
        (path_of(files[0]), 3), (path_of(files[1]), 40)
    ]  # fmt: skip
    assert all(before - 5 < entry.stored_us / 1e6 < store.clock.now() + 5 for entry in found)
    assert await index.usage("acme") == 43
    assert await index.usage("other") == 0
    assert await entries(index, "other") == []


async def test_no_file_is_stored_later_than_now_whatever_a_server_takes_for_that(
    store: Store, index: StoredIndex
) -> None:
    held = await run_one(store)
    store.clock.set(store.clock.now() - 3600, time.monotonic())
    assert store.clock.now() < await index.now_us() / 1e6 - 3500
    await finish(store, held, files=made(held, 1))
    [entry] = await index.page("acme", 0, "", "", 10)
    assert 0 <= await index.now_us() - entry.stored_us < 60e6


async def test_an_end_that_is_written_again_stores_nothing_twice(
    store: Store, index: StoredIndex
) -> None:
    held, files = await end(store, 5)
    assert not await finish(store, held, files=files)
    assert await index.usage("acme") == 5
    assert len(await entries(index)) == 1


async def test_a_file_that_stands_twice_in_a_result_is_stored_once(
    store: Store, index: StoredIndex
) -> None:
    held = await run_one(store)
    await finish(store, held, files=made(held, 5) * 2)
    assert await index.usage("acme") == 5


@pytest.mark.parametrize("how", ["cancel", "error"])
async def test_what_a_job_that_failed_had_made_is_not_stored(
    store: Store, index: StoredIndex, how: str
) -> None:
    held = await run_one(store)
    await store.progress(held, b"{}", made(held, 5))
    await (store.cancel([held.job.key]) if how == "cancel" else finish(store, held, "error"))
    assert await entries(index) == []
    assert await index.usage("acme") == 0


async def test_what_its_client_keeps_itself_is_not_stored(store: Store, index: StoredIndex) -> None:
    held = await run_one(store, retention_seconds=60)
    await index.set_lifetime("acme", 5)
    await finish(store, held, files=made(held, 7, store="signed"))
    assert await entries(index) == []
    assert await index.usage("acme") == 0
    assert await seconds_kept(store, held.job.key) == pytest.approx(60, abs=20)
    await forget_all(store)
    assert await index.usage("acme") == 0


async def test_a_forgotten_job_leaves_nothing_in_the_index(
    store: Store, index: StoredIndex
) -> None:
    held, _ = await end(store, 5, 6)
    await store.forget(0, [held.job.key])
    await store.forget(0, [held.job.key])
    assert await entries(index) == []
    assert await index.usage("acme") == 0


async def test_a_deleted_file_is_no_more_in_the_record_but_is_told_to_have_been(
    store: Store, index: StoredIndex
) -> None:
    held, files = await end(store, 5, 6)
    assert await delete(index, files[:1]) == (1, 5)
    record = await read(store, held.job.key)
    assert record.files == files[1:]
    assert [file.filename for file in record.deleted] == ["out0.bin"]
    assert [entry.size for entry in await entries(index)] == [6]
    assert await index.usage("acme") == 6


async def test_what_is_deleted_twice_is_counted_once(store: Store, index: StoredIndex) -> None:
    _, files = await end(store, 5)
    assert await delete(index, [*files, *files]) == (1, 5)
    assert await delete(index, files) == (0, 0)
    assert await index.usage("acme") == 0
    await forget_all(store)
    assert await index.usage("acme") == 0


async def test_nobody_deletes_the_files_of_others(store: Store, index: StoredIndex) -> None:
    held, files = await end(store, 5)
    assert await index.unstore("other", 0, {held.job.key: [path_of(files[0])]}) == (0, 0)
    assert (await read(store, held.job.key)).files == files
    assert await index.usage("acme") == 5


async def test_an_entry_whose_record_is_gone_can_be_deleted(
    store: Store, index: StoredIndex
) -> None:
    """As after a Valkey that lost some of its data."""
    held, files = await end(store, 5)
    await store.client.delete(store.keys.job(held.job.key))
    await index.set_lifetime("acme", 5)
    assert await delete(index, files) == (1, 5)
    assert await index.usage("acme") == 0
    assert not await store.client.exists(store.keys.job(held.job.key))


async def test_a_job_without_its_file_answers_no_identical_request(
    store: Store, index: StoredIndex
) -> None:
    options: dict[str, Any] = {"fingerprint": "same", "reuse_seconds": 1000}
    held, files = await end(store, 5, **options)
    again = submission(store, fingerprint="same", reuse_seconds=1000)
    assert await store.submit(again) == [(await read(store, held.job.key)).job]
    await delete(index, files)
    assert await store.submit(again) is None


async def test_a_family_without_a_file_answers_no_identical_request(
    store: Store, index: StoredIndex
) -> None:
    """What the eldest made, a playlist for one, may lead to the files of its children."""
    options: dict[str, Any] = {"fingerprint": "same", "reuse_seconds": 1000}
    top = await parent_of(store, **options)
    _, files = await end_child(store, top, 5)
    await finish(store, top, files=made(top, 6))
    again = submission(store, **options)
    assert await store.submit(again) == [(await read(store, top.job.key)).job]
    async with store.client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(store.keys.outdated_channel)
        await listener.get_message(timeout=DEADLINE_SECONDS)
        await delete(index, files)
        message = await listener.get_message(timeout=DEADLINE_SECONDS)
    assert set(message["data"].decode().split()) == {files[0].path.split("/")[2], top.job.key}
    assert await store.submit(again) is None


async def test_servers_are_told_whose_files_were_deleted(store: Store, index: StoredIndex) -> None:
    held, files = await end(store, 5)
    async with store.client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(store.keys.outdated_channel)
        await listener.get_message(timeout=DEADLINE_SECONDS)
        await delete(index, files)
        message = await listener.get_message(timeout=DEADLINE_SECONDS)
        assert message["data"] == held.job.key.encode()
        await index.set_lifetime("acme", 3)
        message = await listener.get_message(timeout=DEADLINE_SECONDS)
        assert message["data"] == b""


# Lifetimes.


async def seconds_kept(store: Store, key: str) -> float:
    return (await read(store, key)).expires - store.clock.now()


async def test_files_are_kept_as_long_as_their_account_says(
    store: Store, index: StoredIndex
) -> None:
    before, _ = await end(store, 5, retention_seconds=60)
    assert await index.lifetime_days("acme") is None
    assert await seconds_kept(store, before.job.key) == pytest.approx(60, abs=20)
    for days in (3, 1):
        await index.set_lifetime("acme", days)
        assert await index.lifetime_days("acme") == days
        after, _ = await end(store, 5, retention_seconds=60)
        for held in (before, after):
            left = await seconds_kept(store, held.job.key)
            assert left == pytest.approx(days * DAY_SECONDS, abs=20)


async def test_for_ever_is_a_hundred_years(store: Store, index: StoredIndex) -> None:
    held, _ = await end(store, 5)
    await index.set_lifetime("acme", 0)
    assert await seconds_kept(store, held.job.key) > 99.9 * 365.25 * DAY_SECONDS
    await index.set_lifetime("acme", 2)
    left = await seconds_kept(store, held.job.key)
    assert left == pytest.approx(2 * DAY_SECONDS, abs=20)


async def test_a_lifetime_concerns_no_other_account_and_no_job_without_files(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 5)
    plain, _ = await end(store, retention_seconds=60)
    other, _ = await end(store, 5, account="other", retention_seconds=60)
    await index.set_lifetime("acme", 6)
    for held in (plain, other):
        assert await seconds_kept(store, held.job.key) == pytest.approx(60, abs=20)


async def test_a_volatile_job_is_kept_as_long_as_it_says(store: Store, index: StoredIndex) -> None:
    await index.set_lifetime("acme", 0)
    held, _ = await end(store, 5, retention_seconds=60, storage="volatile")
    assert await index.usage("acme") == 5
    for days in (7, 0):
        assert await seconds_kept(store, held.job.key) == pytest.approx(60, abs=20)
        await index.set_lifetime("acme", days)


async def test_a_job_whose_files_are_deleted_is_kept_as_one_without(
    store: Store, index: StoredIndex
) -> None:
    held, files = await end(store, 5, 6, retention_seconds=60)
    await index.set_lifetime("acme", 0)
    await delete(index, files[:1])
    assert await seconds_kept(store, held.job.key) > DAY_SECONDS
    await delete(index, files[1:])
    assert await seconds_kept(store, held.job.key) == pytest.approx(60, abs=20)
    assert await store.client.zscore(store.keys.base(0) + "expiry", held.job.key) == pytest.approx(
        (await read(store, held.job.key)).expires * 1000
    )


async def test_of_several_who_set_a_lifetime_the_last_decides_in_every_shard(
    settings: Settings,
) -> None:
    async with Store(settings) as store:
        index = StoredIndex(store)
        await index.set_lifetime("acme", 5)
        # As if somebody had asked earlier, whose call was on its way until now.
        await store.run("lifetime", 0, ["acme", 9, 17, "", 100])
        assert await index.lifetime_days("acme") == 5


# Families.


async def parent_of(store: Store, above: Claim | None = None, **options: Any) -> Claim:
    options["kind"] = "flow"
    request = child_of(store, above, **options) if above else submission(store, **options)
    await submit(store, request)
    [held] = await claim(store, kind="flow")
    return held


async def end_child(
    store: Store, above: Claim, *sizes: int, place: int = 1, **options: Any
) -> tuple[str, Sequence[OutputFile]]:
    [key] = await submit(store, child_of(store, above, place=place, **options))
    [held] = await claim(store)
    files = made(held, *sizes)
    assert await finish(store, held, files=files)
    return key, files


async def family_of(store: Store, **options: Any) -> tuple[list[str], Sequence[OutputFile]]:
    """Keys of three generations that have ended, and the file that the last one made."""
    top = await parent_of(store, **options)
    middle = await parent_of(store, top, **options)
    child, files = await end_child(store, middle, 5, **options)
    await finish(store, middle)
    await finish(store, top)
    return [top.job.key, middle.job.key, child], files


async def test_a_family_is_kept_as_long_as_the_files_of_its_youngest(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 5)
    keys, files = await family_of(store, retention_seconds=60)
    for days in (5, 2, 9):
        await index.set_lifetime("acme", days)
        for key in keys:
            left = await seconds_kept(store, key)
            assert left == pytest.approx(days * DAY_SECONDS, abs=20)
    assert await index.usage("acme") == 5
    await delete(index, files)
    for key in keys:
        assert await seconds_kept(store, key) == pytest.approx(60, abs=20)


async def test_the_time_of_a_family_begins_when_the_eldest_ends(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 1)
    top = await parent_of(store)
    middle = await parent_of(store, top)
    child, _ = await end_child(store, middle, 5)
    await finish(store, middle)
    since = await read(store, child)
    # Valkey tells the time in milliseconds.
    await asyncio.sleep(0.01)
    await finish(store, top)
    expires = {(await read(store, key)).expires for key in (child, middle.job.key, top.job.key)}
    assert len(expires) == 1
    assert expires.pop() > since.expires
    await index.set_lifetime("acme", 2)
    expires = {(await read(store, key)).expires for key in (child, middle.job.key, top.job.key)}
    assert len(expires) == 1


async def test_children_that_made_nothing_are_kept_as_their_parent_would_be_without_files(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 0)
    top = await parent_of(store, retention_seconds=100)
    plain, _ = await end_child(store, top, retention_seconds=10)
    storing, files = await end_child(store, top, 5, place=2)
    await finish(store, top)
    assert await seconds_kept(store, plain) == pytest.approx(100, abs=20)
    assert await seconds_kept(store, storing) > DAY_SECONDS
    assert await seconds_kept(store, top.job.key) > DAY_SECONDS
    await delete(index, files)
    assert await seconds_kept(store, top.job.key) == pytest.approx(100, abs=20)


async def test_a_child_that_is_forgotten_keeps_its_parent_no_longer(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 0)
    top = await parent_of(store, retention_seconds=100)
    first, _ = await end_child(store, top, 5)
    _, files = await end_child(store, top, 5, place=2)
    await finish(store, top)
    await store.forget(0, [first])
    assert await seconds_kept(store, top.job.key) > DAY_SECONDS
    await delete(index, files)
    assert await seconds_kept(store, top.job.key) == pytest.approx(100, abs=20)


async def test_a_family_that_is_cancelled_keeps_what_is_there(
    store: Store, index: StoredIndex
) -> None:
    await index.set_lifetime("acme", 3)
    top = await parent_of(store)
    middle = await parent_of(store, top)
    child, _ = await end_child(store, middle, 5)
    await store.cancel([top.job.key])
    for key in (top.job.key, middle.job.key, child):
        left = await seconds_kept(store, key)
        assert left == pytest.approx(3 * DAY_SECONDS, abs=20)
    assert await index.usage("acme") == 5


async def test_nothing_is_left_of_a_family_that_is_forgotten_in_whatever_order(
    store: Store, index: StoredIndex
) -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        keys, _ = await family_of(store)
        for place in order:
            await store.forget(0, [keys[place]])
    assert await index.usage("acme") == 0
    names = [name async for name in store.client.scan_iter(store.keys.base(0) + "*")]
    left = {name.decode().removeprefix(store.keys.base(0)).partition(":")[0] for name in names}
    assert not left & {"job", "children", "stored", "expiry"}
