"""Leases and retries, on a real Valkey: late workers, lost jobs, pauses."""

import asyncio

from dragon.schemas import Claim, Record, decode_status
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.jobs import line_of, submission
from tests.support.stores import (
    FILE,
    claim,
    counters,
    finish,
    read,
    reap,
    retry,
    run_one,
    short_lease,
    submit,
)


async def test_a_late_worker_changes_nothing(store: Store, settings: Settings) -> None:
    async with short_lease(settings) as hasty:
        late = await run_one(hasty)
    key = late.job.key
    await reap(store)
    requeued = await read(store, key)
    await refuses(store, late, requeued)
    [winner] = await claim(store)
    await refuses(store, late, await read(store, key))
    await store.finish(winner, "success", line_of(key, "success", result="won"), [FILE])
    await refuses(store, late, await read(store, key))
    await refuses(store, winner, await read(store, key))
    assert await counters(store) == {}


async def refuses(store: Store, late: Claim, before: Record) -> None:
    """All that the holder of this claim tries is refused, and the record is as before."""
    key = late.job.key
    assert not await store.progress(late, line_of(key, "executing", progress="late"))
    assert not await store.finish(late, "error", line_of(key, "error", error="late"), [FILE])
    assert not await retry(store, late)
    assert not await retry(store, late, is_counted=False)
    assert await store.renew([late]) == [late]
    after = await read(store, key)
    assert (after.update, after.files, after.expires) == (
        before.update,
        before.files,
        before.expires,
    )


async def test_one_late_worker_does_not_spoil_the_batch_it_travels_in(
    store: Store, settings: Settings
) -> None:
    async with short_lease(settings) as hasty:
        late = await run_one(hasty)
    await reap(store)
    await submit(store, submission(store, 2))
    claims = await claim(store)
    first, again, second = claims
    assert again.job.key != late.job.key or first.job.key == late.job.key
    answers = await asyncio.gather(*(finish(store, held) for held in (first, late, second)))
    assert answers == [True, False, True]


async def test_a_renewed_lease_outlives_its_first_end(store: Store, settings: Settings) -> None:
    async with short_lease(settings) as hasty:
        held = await run_one(hasty)
        lost = await run_one(hasty)
        assert await store.renew([held]) == []
        assert await reap(store) == ([], [lost.job.key], [])
    assert await store.renew([held, lost]) == [lost]
    assert await finish(store, held)


async def test_a_lost_job_is_queued_again_at_its_old_place(
    store: Store, settings: Settings
) -> None:
    keys = await submit(store, submission(store, 3))
    async with short_lease(settings) as hasty:
        await claim(hasty, 1)
    assert await reap(store) == ([], [keys[0]], [])
    assert (await read(store, keys[0])).update.state == "queued"
    assert await counters(store) == {"queued acme": 3}
    claims = await claim(store)
    assert [one.job.key for one in claims] == keys
    assert [one.attempt for one in claims] == [2, 1, 1]


async def test_the_last_lost_attempt_is_an_error_in_words(store: Store, settings: Settings) -> None:
    async with short_lease(settings) as hasty:
        [key] = await submit(store, submission(store, attempts=2))
        await claim(hasty)
        assert await reap(store) == ([], [key], [])
        assert await claim(hasty) == []
        await hasty.claim("worker", {"fast": 1}, 0, is_alone=True)
        assert await reap(store) == ([], [], [key])
    record = await read(store, key)
    status = decode_status(record.update.line)
    assert record.update.state == status.status == "error"
    assert status.error == "the worker was lost while it ran the task, 2 times"
    assert status.events.queued == record.job.queued
    assert isinstance(status.events.started, str)
    assert isinstance(status.events.completed, str)
    assert status.events.queued <= status.events.started <= status.events.completed
    assert await counters(store) == {}
    assert not any(await store.reap(0))


async def test_a_job_that_is_handed_back_is_not_counted(store: Store) -> None:
    held = await run_one(store, attempts=1)
    for _ in range(5):
        assert await retry(store, held, is_counted=False)
        [held] = await claim(store)
        assert held.attempt == 1


async def test_a_retry_is_counted(store: Store) -> None:
    held = await run_one(store)
    assert await retry(store, held)
    [held] = await claim(store)
    assert held.attempt == 2


async def test_a_delayed_retry_runs_when_its_pause_is_over(store: Store) -> None:
    held = await run_one(store)
    assert await retry(store, held, pause_seconds=0.3)
    assert (await read(store, held.job.key)).update.state == "queued"
    assert await claim(store) == []
    assert await counters(store) == {"queued acme": 1}
    assert await reap(store) == ([held.job.key], [], [])
    [again] = await claim(store)
    assert again.job.key == held.job.key
