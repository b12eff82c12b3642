"""The same request answered by the same job, on a real Valkey."""

import asyncio
import time
from typing import Any

from dragon.schemas import Claim, Record
from dragon.settings import Settings
from dragon.store.store import Store
from dragon.store.submission import Submission
from tests.support.jobs import line_of, submission
from tests.support.stores import (
    FILE,
    claim,
    counters,
    finish,
    read,
    reap,
    retry,
    short_lease,
    submit,
)
from tests.support.waiting import until


def reusable(store: Store, reuse_seconds: int = 60, **options: Any) -> Submission:
    return submission(store, fingerprint="same", reuse_seconds=reuse_seconds, **options)


async def answered(store: Store) -> list[Record]:
    """The records of the jobs that answer the same request again."""
    tickets = await store.submit(reusable(store))
    assert tickets is not None
    records = [await read(store, ticket.key) for ticket in tickets]
    assert [record.job for record in records] == tickets
    return records


async def test_the_same_request_is_answered_by_the_job_in_flight(store: Store) -> None:
    [key] = await submit(store, reusable(store))
    for state in ("queued", "executing"):
        [record] = await answered(store)
        assert (record.update.key, record.update.state) == (key, state)
        await claim(store)
    assert await counters(store) == {"running acme": 1}


async def test_the_same_request_is_answered_by_the_job_that_ended(store: Store) -> None:
    await submit(store, reusable(store))
    [held] = await claim(store)
    await store.finish(held, "success", line_of(held.job.key, "success", result=5), [FILE])
    [record] = await answered(store)
    expected = await read(store, held.job.key)
    assert (record.update, record.files) == (expected.update, (FILE,))
    assert record.expires == expected.expires


async def test_of_the_same_requests_in_one_batch_only_one_runs(store: Store) -> None:
    answers = await asyncio.gather(*(store.submit(reusable(store)) for _ in range(5)))
    reused = {ticket.key for tickets in answers if tickets for ticket in tickets}
    assert answers.count(None) == 1
    assert len(reused) == 1
    assert [held.job.key for held in await claim(store)] == [*reused]


async def test_an_error_answers_nobody_else(store: Store) -> None:
    held = await submit_and_claim(store, reusable(store))
    await finish(store, held, "error", error="no")
    assert await store.submit(reusable(store)) is None


async def test_a_lost_job_answers_nobody_else(store: Store, settings: Settings) -> None:
    async with short_lease(settings) as hasty:
        await submit_and_claim(hasty, reusable(store, attempts=1))
    await reap(store)
    assert await store.submit(reusable(store)) is None


async def test_a_job_that_is_queued_again_still_answers(store: Store) -> None:
    held = await submit_and_claim(store, reusable(store))
    await retry(store, held, pause_seconds=60)
    [record] = await answered(store)
    assert record.update.key == held.job.key


async def test_reuse_ends_with_its_time(store: Store) -> None:
    held = await submit_and_claim(store, reusable(store, reuse_seconds=1))
    began = time.monotonic()
    await finish(store, held)

    async def is_over() -> bool:
        return await store.submit(reusable(store)) is None

    assert await until(is_over)
    assert time.monotonic() - began > 0.99


async def test_a_forgotten_job_is_not_reused(store: Store) -> None:
    held = await submit_and_claim(store, reusable(store))
    await finish(store, held)
    await store.forget(0, [held.job.key])
    [key] = await submit(store, reusable(store))
    [record] = await answered(store)
    assert record.update.key == key


async def submit_and_claim(store: Store, request: Submission) -> Claim:
    await submit(store, request)
    [held] = await claim(store)
    return held
