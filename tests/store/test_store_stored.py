"""The index of stored files on a real Valkey: it holds those of ended jobs, as long as they do."""

import time
from typing import Any

import pytest

from dragon.store.store import Store
from dragon.store.stored import Entry, StoredIndex
from tests.store.storing import delete, end, end_child, parent_of, path_of, seconds_kept
from tests.support.jobs import submission
from tests.support.stores import finish, forget_all, made, read, run_one
from tests.support.waiting import DEADLINE_SECONDS

DAY_SECONDS = 86_400


@pytest.fixture
def index(store: Store) -> StoredIndex:
    return StoredIndex(store)


async def entries(index: StoredIndex, account: str = "acme") -> list[Entry]:
    return await index.page(account, 0, "", "", 1000)


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
