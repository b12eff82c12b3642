"""Watching jobs while connections are cut, and channels joined and left."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from dragon.schemas import CHANNEL_LENGTH, Claim, Update, decode_status, new_key
from dragon.store.stored import StoredIndex
from tests.support.jobs import submission
from tests.support.stores import made
from tests.support.waiting import DEADLINE_SECONDS, eventually, until
from tests.support.watchers import Process, assert_whole, finish, follow, tell_progress


async def test_all_ends_arrive_though_the_feed_is_cut_again_and_again(
    process: Process, other: Process
) -> None:
    claims = await process.start_jobs(300)
    keys = [held.job.key for held in claims]

    async def cut() -> None:
        for _ in range(20):
            await process.store.client.client_kill_filter(_type="pubsub")
            await asyncio.sleep(0.05)

    async def run(group: Sequence[Claim]) -> None:
        for held in group:
            await tell_progress(process.store, held, 1)
            await finish(process.store, held)

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        watching = [
            group.create_task(follow(watcher, part))
            for watcher in (process, other)
            for part in (keys[:100], keys[100:])
        ]
        group.create_task(cut())
        group.create_task(run(claims[:150]))
        group.create_task(run(claims[150:]))
    for watch, part in zip(watching, 2 * [keys[:100], keys[100:]], strict=True):
        assert_whole(watch.result(), part)


async def test_an_end_that_was_told_while_the_feed_was_cut_is_read(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.watching([held.job.key]) as (_, watch):
        async with process.store.client.pipeline(transaction=True) as pipeline:
            # In one transaction: the connection is gone before the end is told.
            pipeline.client_kill_filter(_type="pubsub")
            pipeline.ping()
            await pipeline.execute()
            await finish(process.store, held)
        async with asyncio.timeout(DEADLINE_SECONDS):
            [told] = await watch.changes()
        assert told.is_final


async def test_records_that_are_outdated_are_told_and_after_a_gap_all_are(
    process: Process,
) -> None:
    told: list[list[str]] = []
    process.watches.on_outdated = lambda keys: told.append(list(keys))
    [held] = await process.start_jobs()
    [file] = made(held, 5)
    await process.store.finish(held, "success", b"{}", [file])
    path = file.path.partition("/")[2]
    await StoredIndex(process.store).unstore("acme", 0, {held.job.key: [path]})
    await eventually(lambda: told == [[held.job.key]])
    await process.store.client.client_kill_filter(_type="pubsub")
    await eventually(lambda: told[:2] == [[held.job.key], []])
    assert process.watches.is_live


async def test_watches_opened_while_the_feed_connects_are_all_live(
    process: Process, other: Process
) -> None:
    for _ in range(20):
        claims = await process.start_jobs(3)
        await other.store.client.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
            follows = [
                group.create_task(follow_created_anywhere(other, held.job.key)) for held in claims
            ]
            for held in claims:
                await finish(process.store, held)
        for watch, held in zip(follows, claims, strict=True):
            assert_whole(watch.result(), [held.job.key])

    async def listen_once_each() -> bool:
        return other.watches.is_live and await count_subscribers(process) == 2

    assert await until(listen_once_each)


async def follow_created_anywhere(process: Process, key: str) -> list[Update]:
    for _ in range(random.randrange(10)):
        await asyncio.sleep(0.001)
    return await follow(process, [key])


async def count_subscribers(process: Process) -> int:
    """How often this test's two processes listen to anything."""
    names = [
        process.store.keys.channels + "status:" + channel for channel in await process.channels()
    ]
    counts: Any = await process.store.client.pubsub_numsub(*names)
    return sum(count for _, count in counts)


async def test_a_job_that_another_process_created_is_told(process: Process, other: Process) -> None:
    [held] = await process.start_jobs()
    async with other.watching([held.job.key]) as (_, watch):
        await tell_progress(process.store, held, 5)
        [told] = await watch.changes()
        assert decode_status(told.line).progress == 5
        await finish(process.store, held)
        assert [told.state for told in await watch.changes()] == ["success"]


async def test_a_channel_is_left_when_nobody_waits_any_more(
    process: Process, other: Process
) -> None:
    [held] = await process.start_jobs()
    own = {process.watches.channel, other.watches.channel}
    foreign = new_key()[:CHANNEL_LENGTH]
    await process.store.submit(submission(process.store, channel=foreign))
    [stranger] = (await process.store.claim("worker", {"fast": 1}, 0)).claims
    assert await process.channels() == own
    async with process.watching([held.job.key, stranger.job.key]):
        async with other.watching([stranger.job.key]):
            assert await process.channels() == own | {foreign}
        assert await process.channels() == own | {foreign}

    async def is_left() -> bool:
        return await process.channels() == own

    assert await until(is_left)
    assert process.watches.count == other.watches.count == 0


async def test_who_asks_again_watches_the_first_job_alone(process: Process) -> None:
    first, second = (new_key()[:CHANNEL_LENGTH] for _ in range(2))
    await process.store.submit(submission(process.store, fingerprint="same", channel=first))
    [held] = (await process.store.claim("worker", {"fast": 1}, 0)).claims
    again = submission(process.store, fingerprint="same", channel=second)
    waiting = asyncio.create_task(process.engine.run(again))

    async def is_first_alone() -> bool:
        return await process.channels() == {process.watches.channel, first}

    assert await until(is_first_alone)
    assert process.watches.count == 1
    await finish(process.store, held)
    [update] = await waiting
    assert (update.key, update.state) == (held.job.key, "success")


async def test_a_channel_left_and_joined_at_once_stays_joined(process: Process) -> None:
    foreign = new_key()[:CHANNEL_LENGTH]
    await process.store.submit(submission(process.store, 40, channel=foreign))
    claims = (await process.store.claim("worker", {"fast": 40}, 0)).claims

    async def look(held: Claim) -> None:
        for _ in range(5):
            async with process.watching([held.job.key]):
                await asyncio.sleep(0)
        assert_whole(await follow(process, [held.job.key]), [held.job.key])

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        for held in claims:
            group.create_task(look(held))
        for held in claims:
            await finish(process.store, held)
