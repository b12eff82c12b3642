"""Each transition of a job, on a real Valkey."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from dragon.background import Background
from dragon.errors import OverLimits, Unavailable
from dragon.schemas import KINDS, Claim, Kind, OutputFile, Record, Update, decode_status
from dragon.settings import Limits, Settings
from dragon.store.batch import Batch
from dragon.store.store import Store, Submission
from tests.support import line_of, submission, until, valkey_server

FILE = OutputFile(name="out", filename="out.bin", content_type="image/png", path="a/b", size=3)
Reaped = tuple[list[str], list[str], list[str]]


async def submit(store: Store, request: Submission) -> list[str]:
    assert await store.submit(request) is None
    return [job.key for job in request.jobs]


async def claim(
    store: Store, count: int = 100, kind: Kind = "fast", shard: int = 0
) -> Sequence[Claim]:
    claims, _ = await store.claim("worker", {kind: count}, shard)
    return claims


async def run_one(store: Store, **options: Any) -> Claim:
    """A job that is executing."""
    [key] = await submit(store, submission(store, **options))
    [held] = await claim(store)
    assert held.job.key == key
    return held


async def read(store: Store, key: str) -> Record:
    [record] = await store.read([key])
    assert record is not None
    return record


async def finish(store: Store, held: Claim, state: Any = "success", **fields: Any) -> bool:
    return await store.finish(held, state, line_of(held.job.key, state, **fields), ())


async def retry(
    store: Store, held: Claim, pause_seconds: float = 0, *, is_counted: bool = True
) -> bool:
    line = line_of(held.job.key, "queued")
    return await store.retry(held, line, pause_seconds=pause_seconds, is_counted=is_counted)


async def reap(store: Store) -> Reaped:
    """What the reaper moves, as soon as anything is due."""

    async def look() -> Reaped | None:
        reaped = await store.reap(0)
        return reaped if any(reaped) else None

    reaped = await until(look)
    assert reaped is not None
    return reaped


async def counters(store: Store, shard: int = 0) -> dict[str, int]:
    """Jobs that accounts have queued and running, without those that have none."""
    found = {}
    for name in ("queued", "running"):
        answer: Any = store.client.hgetall(store.keys.base(shard) + name)
        for account, count in (await answer).items():
            if int(count):
                found[f"{name} {account.decode()}"] = int(count)
    return found


def short_lease(settings: Settings) -> Store:
    """Another process on the same Valkey, whose leases are over at once."""
    return Store(msgspec.structs.replace(settings, lease_seconds=0.02))


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[redis.client.PubSub]:
    """All status messages of the store from now on."""
    async with store.client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.psubscribe(store.keys.channels + "status:*")
        # The answer to a ping comes after the subscription is live.
        await listener.ping()
        while (message := await listener.get_message(timeout=5)) is None:
            pass
        assert message["type"] == "pong"
        yield listener


async def heard(listener: redis.client.PubSub, count: int) -> list[Update]:
    """The next `count` statuses that were told."""
    updates: list[Update] = []
    while len(updates) < count:
        message = await listener.get_message(timeout=5)
        assert message is not None, f"only {len(updates)} of {count} were told"
        for row in message["data"].split(b"\n"):
            key, version, state, line = row.split(b" ", 3)
            assert message["channel"].endswith(b":" + key[:3])
            updates.append(Update(key.decode(), int(version), state.decode(), line))
    assert len(updates) == count
    return updates


async def test_a_submitted_job_is_queued_and_can_be_read(store: Store) -> None:
    request = submission(store)
    [key] = await submit(store, request)
    record = await read(store, key)
    assert record.update == request.updates[0]
    assert msgspec.json.encode(record.job) == msgspec.json.encode(request.jobs[0])
    assert record.files == ()
    assert await counters(store) == {"queued acme": 1}


async def test_an_unknown_key_reads_as_none_among_others(store: Store) -> None:
    [key] = await submit(store, submission(store))
    first, second, third = await store.read(["A" * 26, key, "B" * 26])
    assert first is None
    assert second is not None
    assert third is None


async def test_a_submission_repeated_with_the_same_keys_is_harmless(store: Store) -> None:
    request = submission(store, 3)
    keys = await submit(store, request)
    await submit(store, request)
    assert await counters(store) == {"queued acme": 3}
    held = await claim(store)
    assert [one.job.key for one in held] == keys
    await submit(store, request)
    assert await claim(store) == []
    assert (await read(store, keys[0])).update.version == 2
    await finish(store, held[0])
    await submit(store, request)
    assert await claim(store) == []
    assert (await read(store, keys[0])).update.state == "success"


async def test_a_claim_takes_no_more_than_the_free_slots_and_tells_what_is_left(
    store: Store,
) -> None:
    keys = await submit(store, submission(store, 5))
    claims, left = await store.claim("worker", {"fast": 2}, 0)
    assert [one.job.key for one in claims] == keys[:2]
    assert left == 3
    assert await store.claim("worker", {"heavy": 5}, 0) == ([], 0)
    assert await counters(store) == {"queued acme": 3, "running acme": 2}


async def test_jobs_that_find_no_slot_are_not_told_as_left(store: Store) -> None:
    await submit(store, submission(store, 5, kind="heavy"))
    assert await store.claim("worker", {"fast": 2, "heavy": 0}, 0) == ([], 0)


async def test_a_claim_shows_as_executing_with_its_start(store: Store) -> None:
    held = await run_one(store)
    record = await read(store, held.job.key)
    status = decode_status(record.update.line)
    assert record.update.state == status.status == "executing"
    assert status.events.started == held.started
    assert held.attempt == 1


async def test_the_version_grows_with_each_change(store: Store) -> None:
    [key] = await submit(store, submission(store))
    seen = [(await read(store, key)).update]
    [held] = await claim(store)
    seen.append((await read(store, key)).update)
    await store.progress(held, line_of(key, "executing", progress=1))
    seen.append((await read(store, key)).update)
    await retry(store, held)
    seen.append((await read(store, key)).update)
    [held] = await claim(store)
    seen.append((await read(store, key)).update)
    await finish(store, held, result=5)
    seen.append((await read(store, key)).update)
    assert [(update.version, update.state) for update in seen] == [
        (1, "queued"),
        (2, "executing"),
        (3, "executing"),
        (4, "queued"),
        (5, "executing"),
        (6, "success"),
    ]
    assert [decode_status(update.line).status for update in seen] == [
        update.state for update in seen
    ]


async def test_what_is_told_is_what_is_read(store: Store, settings: Settings) -> None:
    async with listening(store) as listener, short_lease(settings) as hasty:
        [key] = await submit(store, submission(store, attempts=2))
        [held] = await claim(store)
        assert await heard(listener, 1) == [(await read(store, key)).update]
        await store.progress(held, line_of(key, "executing", progress=1))
        assert await heard(listener, 1) == [(await read(store, key)).update]
        await retry(store, held)
        assert await heard(listener, 1) == [(await read(store, key)).update]
        [held] = await claim(hasty)
        assert await heard(listener, 1) == [(await read(store, key)).update]
        await reap(store)
        assert await heard(listener, 1) == [(await read(store, key)).update]


async def test_a_finish_is_told_with_the_line_that_is_read(store: Store) -> None:
    held = await run_one(store)
    async with listening(store) as listener:
        await store.finish(held, "success", line_of(held.job.key, "success", result=1), [FILE])
        record = await read(store, held.job.key)
        assert await heard(listener, 1) == [record.update]
    assert record.files == (FILE,)
    assert record.expires == pytest.approx(store.clock.now() + 60, abs=5)


async def test_jobs_that_end_together_are_all_told(store: Store) -> None:
    requests = [submission(store, channel=channel) for channel in ("AAA", "BBB", "AAA", "CCC")]
    await asyncio.gather(*(store.submit(request) for request in requests))
    claims = await claim(store)
    async with listening(store) as listener:
        assert all(await asyncio.gather(*(finish(store, held) for held in claims)))
        told = await heard(listener, 4)
    assert {update.key for update in told} == {request.jobs[0].key for request in requests}


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
        await claim(hasty)
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
    assert await store.reap(0) == ([], [], [])


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


async def test_a_job_with_wrong_parameters_ends_at_once_and_never_runs(store: Store) -> None:
    [key] = await submit(store, submission(store, state="error", retention_seconds=60))
    record = await read(store, key)
    assert (record.update.version, record.update.state) == (1, "error")
    assert record.expires == pytest.approx(store.clock.now() + 60, abs=5)
    assert await claim(store) == []
    assert await counters(store) == {}


async def test_a_job_is_due_to_be_forgotten_after_its_retention(store: Store) -> None:
    held = await run_one(store, retention_seconds=1)
    kept = await run_one(store, retention_seconds=60)
    await finish(store, held)
    await finish(store, kept)

    assert await store.expired_keys(0) == []
    assert await until(lambda: store.expired_keys(0)) == [held.job.key]
    await store.forget(0, [held.job.key])
    assert await store.read([held.job.key]) == [None]
    assert await store.expired_keys(0) == []
    assert (await read(store, kept.job.key)).update.state == "success"


# Limits.


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
    limits = Limits(per_minute=5)
    await submit(store, submission(store, 4, limits=limits))
    with pytest.raises(OverLimits, match="may create 5 tasks a minute") as caught:
        await store.submit(submission(store, 2, limits=limits))
    assert 11 <= caught.value.retry_after_seconds <= 12
    await submit(store, submission(store, 1, limits=limits))
    await submit(store, submission(store, 1, limits=limits, account="other"))
    with pytest.raises(OverLimits):
        await store.submit(submission(store, 1, limits=limits))


async def test_the_rate_refills_with_time(store: Store) -> None:
    limits = Limits(per_minute=600)
    await submit(store, submission(store, 600, limits=limits))

    async def is_accepted() -> bool:
        try:
            await store.submit(submission(store, 5, limits=limits))
        except OverLimits:
            return False
        return True

    assert not await is_accepted()
    assert await until(is_accepted)


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


# Reuse.


def reusable(store: Store, reuse_seconds: int = 60, **options: Any) -> Submission:
    return submission(store, fingerprint="same", reuse_seconds=reuse_seconds, **options)


async def answered(store: Store) -> list[Record]:
    """The records that answer the same request again."""
    records = await store.submit(reusable(store))
    assert records is not None
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
    reused = {record.update.key for records in answers if records for record in records}
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
    await finish(store, held)
    assert await store.submit(reusable(store)) is not None

    async def is_over() -> bool:
        return await store.submit(reusable(store)) is None

    assert await until(is_over)


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


# All together.


@pytest.mark.parametrize("seed", range(6))
async def test_counters_hold_through_any_mix_and_return_to_zero(
    settings: Settings, seed: int
) -> None:
    mix = random.Random(seed)
    async with Store(settings) as store, short_lease(settings) as hasty:
        held: list[Claim] = []
        keys: list[str] = []
        for _ in range(120):
            await step(mix, store, hasty, held, keys)
            records = [record for record in await store.read(keys) if record]
            states = [record.update.state for record in records]
            count = sum((await counters(store)).values())
            assert count == states.count("queued") + states.count("executing")
        await run_all(store)
        assert await counters(store) == {}
        assert {record.update.is_final for record in await store.read(keys) if record} == {True}
        names = ["leases", "delayed", *(f"ready:{kind}" for kind in KINDS)]
        assert [await store.client.zcard(store.keys.base(0) + name) for name in names] == [0] * 6
        assert not [name async for name in store.client.scan_iter(store.keys.base(0) + "parked:*")]


async def step(
    mix: random.Random, store: Store, hasty: Store, held: list[Claim], keys: list[str]
) -> None:
    """One transition at random, also by workers that hold their job no longer."""
    choice = mix.randrange(8)
    if choice == 0:
        account, running = mix.choice([("free", None), ("one", 1), ("two", 2)])
        kind = mix.choice(KINDS)
        request = submission(
            store, mix.randint(1, 5), account=account, kind=kind, limits=Limits(running=running)
        )
        keys += await submit(store, request)
    elif choice == 1:
        slots = {kind: mix.randint(0, 3) for kind in KINDS}
        held += (await mix.choice([store, hasty]).claim("worker", slots, 0))[0]
    elif choice == 2:
        await store.reap(0)
    elif held:
        late = mix.choice(held)
        if choice == 3:
            await store.progress(late, line_of(late.job.key, "executing"))
        elif choice == 4:
            await store.renew(held)
        elif choice == 5:
            await retry(store, late, mix.choice([0, 0.01]), is_counted=mix.choice([True, False]))
        else:
            await finish(store, late, mix.choice(["success", "error"]))


async def run_all(store: Store) -> None:
    """Run until nothing is queued or running."""
    async with asyncio.timeout(20):
        while await counters(store):
            await store.reap(0)
            claims, _ = await store.claim("worker", dict.fromkeys(KINDS, 50), 0)
            await asyncio.gather(*(finish(store, held) for held in claims))
            await expire_leases(store)


async def expire_leases(store: Store) -> None:
    """As if the time of all leases had come: their workers are gone."""
    leases: Any = await store.client.zrange(store.keys.base(0) + "leases", 0, -1)
    if leases:
        await store.client.zadd(store.keys.base(0) + "leases", dict.fromkeys(leases, 0))


async def test_several_shards_keep_their_jobs_apart(settings: Settings) -> None:
    async with Store(msgspec.structs.replace(settings, shards=3)) as store:
        keys = []
        for shard in range(3):
            keys += await submit(store, submission(store, 2, shard=shard, channel="ABC"))
        assert [store.keys.shard_of(key) for key in keys] == [0, 0, 1, 1, 2, 2]
        records = await store.read(keys)
        assert [record.update.key for record in records if record] == keys
        claims = [one for shard in range(3) for one in await claim(store, shard=shard)]
        assert [one.job.key for one in claims] == keys
        assert await store.renew(claims) == []
        assert all(await asyncio.gather(*(finish(store, held) for held in claims)))
        assert [await counters(store, shard) for shard in range(3)] == [{}, {}, {}]
        assert {record.update.state for record in await store.read(keys) if record} == {"success"}


async def test_a_fingerprint_always_leads_to_the_same_shard(settings: Settings) -> None:
    async with Store(msgspec.structs.replace(settings, shards=3)) as store:
        chosen = {store.keys.shard_for("deadbeef" * 8) for _ in range(20)}
        assert len(chosen) == 1
        assert {store.keys.shard_for(None) for _ in range(200)} == {0, 1, 2}


async def test_without_valkey_every_method_says_that_it_is_unavailable(tmp_path: Any) -> None:
    with valkey_server(tmp_path) as url:
        store = Store(Settings(redis=url, redis_timeout_seconds=1))
        held = await run_one(store)
    async with store:
        calls = [
            store.submit(submission(store)),
            store.claim("worker", {"fast": 1}, 0),
            store.renew([held]),
            store.progress(held, b"{}"),
            finish(store, held),
            retry(store, held),
            store.reap(0),
            store.expired_keys(0),
            store.forget(0, [held.job.key]),
            store.read([held.job.key]),
        ]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {Unavailable}


async def test_what_was_given_up_while_it_waited_is_not_sent() -> None:
    sent: list[int] = []
    may_answer = asyncio.Event()

    async def send(items: Sequence[int]) -> Sequence[int]:
        sent.extend(items)
        await may_answer.wait()
        return items

    async with Background() as background:
        batch = Batch(send, background.start)
        first = batch.add(1)
        await until(lambda: asyncio.sleep(0, bool(sent)))
        given_up, last = batch.add(2), batch.add(3)
        given_up.cancel()
        may_answer.set()
        assert [await first, await last] == [1, 3]
    assert sent == [1, 3]
