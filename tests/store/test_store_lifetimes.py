"""How long ended jobs are kept for the sake of their stored files, on a real Valkey."""

import asyncio

import pytest

from dragon.settings import Settings
from dragon.store.store import Store
from dragon.store.stored import StoredIndex
from tests.store.storing import delete, end, end_child, family_of, parent_of, seconds_kept
from tests.support.stores import finish, read

DAY_SECONDS = 86_400


@pytest.fixture
def index(store: Store) -> StoredIndex:
    return StoredIndex(store)


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
