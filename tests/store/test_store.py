"""Each transition of a job, on a real Valkey: what is read, and what is told."""

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest

from dragon.errors import Unavailable
from dragon.schemas import decode_status, encode
from dragon.settings import Settings
from dragon.store.store import Claims, Store
from tests.support.jobs import line_of, submission
from tests.support.stores import (
    FILE,
    claim,
    counters,
    due_keys,
    ended_keys,
    finish,
    heard,
    listening,
    make_due,
    read,
    reap,
    retry,
    run_one,
    short_lease,
    submit,
)
from tests.support.valkey import valkey_server
from tests.support.waiting import DEADLINE_SECONDS, until

NOTHING = Claims(claims=[], left=frozenset(), alone=0)


async def test_a_submitted_job_is_queued_and_can_be_read(store: Store) -> None:
    request = submission(store)
    [key] = await submit(store, request)
    record = await read(store, key)
    assert record.update == request.updates[0]
    assert (
        msgspec.structs.asdict(record.job).items()
        <= msgspec.structs.asdict(request.jobs[0]).items()
    )
    assert await store.read_jobs([key, "A" * 26]) == [encode(request.jobs[0]), None]
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
    answer = await store.claim("worker", {"fast": 2}, 0)
    assert [one.job.key for one in answer.claims] == keys[:2]
    assert answer.left == {"fast"}
    assert await store.claim("worker", {"heavy": 5}, 0) == NOTHING
    assert await counters(store) == {"queued acme": 3, "running acme": 2}


async def test_jobs_that_find_no_slot_are_not_told_as_left(store: Store) -> None:
    await submit(store, submission(store, 5, kind="heavy"))
    assert await store.claim("worker", {"fast": 2, "heavy": 0}, 0) == NOTHING


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
    assert record.expires == pytest.approx(store.clock.now() + 60, abs=20)


async def test_jobs_that_end_together_are_all_told(store: Store) -> None:
    requests = [submission(store, channel=channel) for channel in ("AAA", "BBB", "AAA", "CCC")]
    await asyncio.gather(*(store.submit(request) for request in requests))
    claims = await claim(store)
    async with listening(store) as listener:
        assert all(await asyncio.gather(*(finish(store, held) for held in claims)))
        told = await heard(listener, 4)
    assert {update.key for update in told} == {request.jobs[0].key for request in requests}


async def test_a_job_with_wrong_parameters_ends_at_once_and_never_runs(store: Store) -> None:
    [key] = await submit(store, submission(store, state="error", retention_seconds=60))
    record = await read(store, key)
    assert (record.update.version, record.update.state) == (1, "error")
    assert record.expires == pytest.approx(store.clock.now() + 60, abs=20)
    assert await claim(store) == []
    assert await counters(store) == {}


async def test_a_job_is_due_to_be_forgotten_after_its_retention(store: Store) -> None:
    held = await run_one(store, retention_seconds=1)
    kept = await run_one(store, retention_seconds=60)
    began = time.monotonic()
    await finish(store, held)
    await finish(store, kept)

    assert await until(lambda: due_keys(store)) == [held.job.key]
    assert time.monotonic() - began > 0.99
    await store.forget(0, [held.job.key])
    assert await store.read([held.job.key]) == [None]
    assert (await read(store, kept.job.key)).update.state == "success"


async def test_who_takes_a_job_to_forget_it_has_it_for_itself_for_a_while(store: Store) -> None:
    held = await run_one(store)
    await finish(store, held)
    await make_due(store)
    [record] = await store.expire(0, 10, hold_seconds=0.01)
    assert (record.update.key, record.update.state, record.files) == (held.job.key, "success", ())
    # Whoever took it was killed.
    assert await until(lambda: due_keys(store)) == [held.job.key]
    assert await due_keys(store) == []


async def test_what_is_due_is_taken_in_portions(store: Store) -> None:
    keys = [(await run_one(store)).job.key for _ in range(3)]
    await store.cancel(keys)
    await make_due(store)
    taken = [await store.expire(0, 2, hold_seconds=60) for _ in range(3)]
    assert [len(records) for records in taken] == [2, 1, 0]
    assert {record.update.key for records in taken for record in records} == set(keys)
    await make_due(store)
    large = json.dumps([{"path": "x" * 1_000_000}])
    for key in keys:
        await store.client.hset(store.keys.job(key), "files", large)
    assert len(await store.run("expire", 0, [10, 60_000])) == 1


async def test_what_is_due_and_no_job_any_more_is_passed_over(store: Store) -> None:
    await store.client.zadd(store.keys.base(0) + "expiry", {"A" * 26: 0})
    assert await due_keys(store) == await ended_keys(store) == []


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
        settings = Settings(redis=url, redis_timeout_seconds=DEADLINE_SECONDS)
        async with Store(settings) as store:
            held = await run_one(store)
    async with Store(msgspec.structs.replace(settings, redis_timeout_seconds=1)) as store:
        calls = [
            store.submit(submission(store)),
            store.claim("worker", {"fast": 1}, 0),
            store.renew([held]),
            store.progress(held, b"{}"),
            finish(store, held),
            retry(store, held),
            store.reap(0),
            store.expire(0, 10, 60),
            store.forget(0, [held.job.key]),
            store.read([held.job.key]),
        ]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in errors} == {Unavailable}
