"""Limits of accounts, on a real Valkey: waiting, running and created in a minute."""

import asyncio
import time
from typing import Any

import pytest

from dragon.errors import OverLimits
from dragon.settings import Limits, Settings
from dragon.store.store import Store
from tests.support.jobs import submission
from tests.support.stores import claim, counters, finish, reap, retry, short_lease, submit
from tests.support.waiting import until


async def test_a_request_over_the_limit_of_queued_jobs_is_refused_whole(store: Store) -> None:
    limits = Limits(queued=5)
    await submit(store, submission(store, 3, limits=limits))
    refused = submission(store, 3, limits=limits)
    with pytest.raises(OverLimits, match="may have 5 tasks queued, and 3 more") as caught:
        await store.submit(refused)
    assert caught.value.retry_after_seconds > 0
    assert await store.read([job.key for job in refused.jobs]) == [None] * 3
    await submit(store, submission(store, 2, limits=limits))
    await claim(store, 1)
    await submit(store, submission(store, 1, limits=limits))


async def test_requests_that_travel_together_share_the_limit(store: Store) -> None:
    requests = [submission(store, 2, limits=Limits(queued=5)) for _ in range(4)]
    other = submission(store, 2, limits=Limits(queued=5), account="other")
    answers = await asyncio.gather(
        *(store.submit(request) for request in [*requests, other]), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [
        type(None),
        type(None),
        OverLimits,
        OverLimits,
        type(None),
    ]


async def test_over_its_rate_an_account_is_told_when_to_come_again(store: Store) -> None:
    limits, began = Limits(per_minute=2), time.monotonic()
    await submit(store, submission(store, 1, limits=limits))
    with pytest.raises(OverLimits, match="may create 2 tasks a minute") as caught:
        await store.submit(submission(store, 2, limits=limits))
    # Half a minute for each, less what has passed since.
    passed = time.monotonic() - began
    assert 29.9 - passed < caught.value.retry_after_seconds <= 30
    await submit(store, submission(store, 1, limits=limits))
    await submit(store, submission(store, 1, limits=limits, account="other"))
    with pytest.raises(OverLimits):
        await store.submit(submission(store, 1, limits=limits))


async def test_the_rate_refills_with_time(store: Store) -> None:
    limits = Limits(per_minute=60)
    began = time.monotonic()
    await submit(store, submission(store, 60, limits=limits))

    async def is_accepted() -> bool:
        try:
            await store.submit(submission(store, 1, limits=limits))
        except OverLimits:
            return False
        return True

    assert await until(is_accepted)
    assert time.monotonic() - began > 0.99


async def test_an_account_runs_no_more_at_once_than_it_may(store: Store) -> None:
    keys = await submit(store, submission(store, 4, limits=Limits(running=2)))
    claims = await claim(store)
    assert [one.job.key for one in claims] == keys[:2]
    assert await claim(store) == []
    await finish(store, claims[1])
    [third] = await claim(store)
    assert third.job.key == keys[2]
    assert await retry(store, claims[0])
    [first] = await claim(store)
    assert first.job.key == keys[0]
    for held in (first, third):
        await finish(store, held)
    [last] = await claim(store)
    assert last.job.key == keys[3]


async def test_parked_jobs_run_when_the_running_one_is_lost(
    store: Store, settings: Settings
) -> None:
    keys = await submit(store, submission(store, 2, limits=Limits(running=1), attempts=1))
    async with short_lease(settings) as hasty:
        await claim(hasty)
    assert await reap(store) == ([], [], [keys[0]])
    [held] = await claim(store)
    assert held.job.key == keys[1]


async def test_a_job_parked_in_one_class_runs_when_one_of_another_ends(store: Store) -> None:
    limits = Limits(running=1)
    await submit(store, submission(store, limits=limits, kind="heavy"))
    [fast] = await submit(store, submission(store, limits=limits, kind="fast"))
    [heavy] = await claim(store, kind="heavy")
    assert await claim(store) == []
    await finish(store, heavy)
    [held] = await claim(store)
    assert held.job.key == fast


async def test_jobs_are_not_parked_for_ever_where_too_many_are_counted(store: Store) -> None:
    """As it may be once two versions of Dragon have run together."""
    await submit(store, submission(store, 6, limits=Limits(running=2)))
    held = await claim(store)
    counted: Any = store.client.hincrby(store.keys.base(0) + "running", "acme", 2)
    assert await counted == 4
    for one in held:
        await finish(store, one)
    assert await claim(store) == []
    await store.reap(0)
    # As many at once as before.
    for _ in range(2):
        held = await claim(store)
        assert len(held) == 2
        for one in held:
            await finish(store, one)
    assert await counters(store) == {}
