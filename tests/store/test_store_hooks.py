"""Deliveries of web hooks in the store: made by whatever ends a job, and moved like jobs."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from dragon.schemas import State
from dragon.settings import Limits, Settings
from dragon.store.deliveries import Deliveries
from dragon.store.store import Store
from tests.store.delivering import BOTH, claim_delivery, delivery_of, ended, params_of, tried
from tests.support.jobs import child_of, hooked, submission
from tests.support.stores import claim, counters, due_keys, finish, read, reap, short_lease, submit


@pytest.mark.parametrize("state", BOTH)
async def test_the_end_that_somebody_waits_for_is_queued_for_delivery(
    store: Store, state: State
) -> None:
    key = await ended(store, *BOTH, state=state)
    held = await claim_delivery(store)
    assert held.job.key == store.keys.hook_key(key)
    assert params_of(held) == {
        "task": key,
        "event": state,
        "url": f"http://receiver/{state}?token=1",
    }
    assert held.job.queued == (await delivery_of(store, key)).created
    line = (await read(store, key)).update.line
    assert await Deliveries(store).body(held.job.key) == line


@pytest.mark.parametrize("state", BOTH)
async def test_the_other_end_is_told_to_nobody(store: Store, state: State) -> None:
    [other] = {*BOTH} - {state}
    await ended(store, other, state=state)
    assert await claim(store, kind="hook") == []


async def test_an_end_that_is_written_twice_is_delivered_once(store: Store) -> None:
    [key] = await submit(store, hooked(store, submission(store), *BOTH))
    [held] = await claim(store)
    assert await finish(store, held)
    assert not await finish(store, held)
    await store.cancel([key])
    await claim_delivery(store)
    assert await claim(store, kind="hook") == []


async def test_cancelled_lost_and_wrong_jobs_are_told_too(settings: Settings, store: Store) -> None:
    waiting, running = await submit(store, hooked(store, submission(store, 2), "error"))
    [held] = await claim(store, 1)
    await store.cancel([waiting, running])
    [wrong] = await submit(store, hooked(store, submission(store, state="error"), "error"))
    async with short_lease(settings) as hasty:
        [lost] = await submit(hasty, hooked(hasty, submission(hasty, attempts=1), "error"))
        await claim(hasty)
        while not (await reap(hasty))[2]:
            pass
    bodies = {
        params_of(one)["task"]: await Deliveries(store).body(one.job.key)
        for one in await claim(store, kind="hook")
    }
    assert bodies == {
        key: (await read(store, key)).update.line for key in (waiting, running, wrong, lost)
    }
    assert held.job.key in bodies


async def test_a_child_that_ends_with_its_parent_is_told(store: Store) -> None:
    await submit(store, submission(store, kind="flow"))
    [parent] = await claim(store, kind="flow")
    child = child_of(store, parent)
    await store.submit(hooked(store, child, "error"))
    await finish(store, parent)
    held = await claim_delivery(store)
    assert params_of(held)["task"] == child.jobs[0].key


async def test_a_delivery_counts_for_no_limit_wherever_it_is(store: Store) -> None:
    plain = submission(store, limits=Limits(queued=1, running=1))
    await submit(store, hooked(store, plain, "success"))
    [task] = await claim(store)
    await finish(store, task)
    assert await counters(store) == {}
    for pause_seconds in (0, 0.01):
        held = await claim_delivery(store)
        assert await counters(store) == {}
        assert await tried(store, held, "queued", pause_seconds)
        assert await counters(store) == {}
    await reap(store)
    assert await tried(store, await claim_delivery(store), "success")
    assert await counters(store) == {}


async def test_each_try_is_recorded_with_what_came_of_it(store: Store) -> None:
    key = await ended(store, *BOTH)
    assert (await delivery_of(store, key)).state == "pending"
    held = await claim_delivery(store)
    assert await tried(store, held, "queued", pause_seconds=60)
    delivery = await delivery_of(store, key)
    assert delivery.state == "pending"
    assert isinstance(delivery.next_attempt, str)
    assert delivery.next_attempt > store.clock.iso()
    assert [one.status for one in delivery.attempts] == [500]
    assert await Deliveries(store).replay("acme", delivery.id)
    assert await tried(store, await claim_delivery(store), "success")
    delivery = await delivery_of(store, key)
    assert (delivery.state, [one.status for one in delivery.attempts]) == ("delivered", [500, 204])


async def test_even_the_first_try_may_have_to_wait(store: Store) -> None:
    request = hooked(store, submission(store), *BOTH, pause_seconds=60)
    [key] = await submit(store, request)
    [held] = await claim(store)
    await finish(store, held)
    assert await claim(store, kind="hook") == []
    delivery = await delivery_of(store, key)
    assert isinstance(delivery.next_attempt, str)
    assert delivery.next_attempt > delivery.created
    await store.client.zadd(store.keys.base(0) + "delayed", {delivery.id: 0})
    assert (await reap(store))[0] == [delivery.id]
    await claim_delivery(store)


async def test_a_worker_that_lost_the_delivery_writes_nothing(
    settings: Settings, store: Store
) -> None:
    async with short_lease(settings) as hasty:
        key = await ended(hasty, *BOTH)
        late = await claim_delivery(hasty)
        while not (await reap(hasty))[1]:
            pass
    held = await claim_delivery(store)
    assert held.attempt == 2
    assert not await tried(store, late, "success")
    assert await tried(store, held, "success")
    delivery = await delivery_of(store, key)
    assert [one.error or one.status for one in delivery.attempts] == ["the worker was lost", 204]


async def test_workers_lost_each_time_end_the_delivery(settings: Settings) -> None:
    async with short_lease(settings) as hasty:
        request = hooked(hasty, submission(hasty), *BOTH, attempts=2)
        [key] = await submit(hasty, request)
        [held] = await claim(hasty)
        await finish(hasty, held)
        for place in (1, 2):
            await claim_delivery(hasty)
            while not (await reap(hasty))[place]:
                pass
        delivery = await delivery_of(hasty, key)
    assert (delivery.state, len(delivery.attempts)) == ("failed", 2)


async def test_a_replayed_delivery_has_all_its_attempts_again(store: Store) -> None:
    key = await ended(store, *BOTH)
    for state in ("error", "success"):
        held = await claim_delivery(store)
        assert held.attempt == 1
        assert await tried(store, held, state)
        assert await due_keys(store) == []
        assert await Deliveries(store).replay("acme", held.job.key)
        assert (await delivery_of(store, key)).state == "pending"
        # Asked for twice it is made once.
        assert await Deliveries(store).replay("acme", held.job.key)
    again = await claim_delivery(store)
    assert await claim(store, kind="hook") == []
    assert again.token == 3


async def test_only_its_account_may_replay_a_delivery_and_a_job_is_none(store: Store) -> None:
    key = await ended(store, *BOTH)
    held = await claim_delivery(store)
    await tried(store, held, "error")
    assert not await Deliveries(store).replay("other", held.job.key)
    assert not await Deliveries(store).replay("acme", key)
    assert not await Deliveries(store).replay("acme", "A" * 26)
    assert await Deliveries(store).read("other", [held.job.key]) == []
    assert await Deliveries(store).read("acme", [key]) == []


async def test_pages_go_back_in_time_and_leave_nothing_out(store: Store) -> None:
    keys = [await ended(store, *BOTH) for _ in range(7)]
    for number, held in enumerate(await claim(store, kind="hook")):
        await tried(store, held, BOTH[number % 2])
    newest_first = [store.keys.hook_key(key) for key in reversed(keys)]
    assert await pages(store, None, 3) == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert await pages(store, None, 7) == [newest_first]
    assert await pages(store, "delivered", 100) == [newest_first[::2]]
    assert await pages(store, "failed", 2) == [newest_first[1::2][:2], newest_first[1::2][2:]]
    assert await pages(store, "pending", 100) == [[]]


async def pages(store: Store, outcome: Any, limit: int) -> Sequence[Sequence[str]]:
    found: list[list[str]] = []
    after = None
    while not found or after:
        page = await Deliveries(store).page("acme", outcome, limit, after)
        found.append([delivery.id for delivery in page.deliveries])
        after = page.next
    return found


async def test_a_forgotten_delivery_leaves_nothing(store: Store) -> None:
    key = await ended(store, *BOTH)
    held = await claim_delivery(store)
    await tried(store, held, "success")
    await store.client.zadd(store.keys.base(0) + "expiry", {key: 0, held.job.key: 0})
    # Replayed between the reading of what is due and its end, it stays.
    due = await due_keys(store)
    await Deliveries(store).replay("acme", held.job.key)
    await store.forget(0, due)
    assert (await delivery_of(store, key)).state == "pending"
    await tried(store, await claim_delivery(store), "error")
    await store.forget(0, [held.job.key])
    left = [name async for name in store.client.scan_iter(store.keys.base(0) + "*")]
    assert not [name for name in left if b"job:" in name or b"tries:" in name or b"deliv" in name]


async def test_a_delivery_outlives_the_record_of_its_task(store: Store) -> None:
    key = await ended(store, *BOTH)
    line = (await read(store, key)).update.line
    await store.client.zadd(store.keys.base(0) + "expiry", {key: 0})
    await store.forget(0, await due_keys(store))
    assert await store.read([key]) == [None]
    held = await claim_delivery(store)
    assert await Deliveries(store).body(held.job.key) == line
    assert (await delivery_of(store, key)).task == key


async def test_deliveries_of_all_shards_stand_in_one_list(settings: Settings) -> None:
    async with Store(msgspec.structs.replace(settings, shards=3)) as store:
        keys = []
        for number in range(6):
            request = hooked(store, submission(store, shard=number % 3), *BOTH)
            keys += await submit(store, request)
            [held] = await claim(store, shard=number % 3)
            await finish(store, held)
        wanted = [store.keys.hook_key(key) for key in reversed(keys)]
        assert await pages(store, None, 4) == [wanted[:4], wanted[4:]]
