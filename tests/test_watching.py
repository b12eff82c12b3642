"""Watches and the feed, on a real Valkey: no gap, no double, no final status lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from dragon.engine.engine import Engine
from dragon.engine.watching import Watch, Watches
from dragon.errors import Unavailable, UnknownKeys
from dragon.registry import Registry
from dragon.schemas import CHANNEL_LENGTH, Claim, Update, decode_status, new_key
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support import line_of, submission, until


class Process:
    """What one server process has: a store, a feed and its watches."""

    def __init__(self, settings: Settings, store: Store, watches: Watches) -> None:
        self.store = store
        self.watches = watches
        self.engine = Engine(settings, Registry([]), store, watches)

    async def start_jobs(self, count: int = 1) -> Sequence[Claim]:
        """Jobs that this process created and a worker runs."""
        await self.store.submit(submission(self.store, count, channel=self.watches.channel))
        claims, _ = await self.store.claim("worker", {"fast": count}, 0)
        assert len(claims) == count
        return claims

    async def channels(self) -> set[str]:
        """Status channels of the test that anybody listens to."""
        prefix = self.store.keys.channels + "status:"
        found: Any = await self.store.client.pubsub_channels(prefix + "*")
        return {channel.decode().removeprefix(prefix) for channel in found}


@asynccontextmanager
async def start_process(settings: Settings) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(settings))
        watches = Watches(store, new_key()[:CHANNEL_LENGTH])
        yield Process(settings, store, await stack.enter_async_context(watches))


@pytest_asyncio.fixture
async def process(settings: Settings) -> AsyncIterator[Process]:
    async with start_process(settings) as process:
        yield process


@pytest_asyncio.fixture
async def other(settings: Settings) -> AsyncIterator[Process]:
    async with start_process(settings) as other:
        yield other


async def finish(store: Store, held: Claim) -> None:
    assert await store.finish(held, "success", line_of(held.job.key, "success", result=1), ())


async def tell_progress(store: Store, held: Claim, value: int) -> None:
    assert await store.progress(held, line_of(held.job.key, "executing", progress=value))


async def follow(process: Process, keys: Sequence[str]) -> list[Update]:
    """All that somebody who watches these jobs is told, from the snapshot to the end."""
    async with process.engine.watching(keys) as (updates, watch):
        seen = list(updates)
        while changes := await watch.changes():
            seen += changes
    return seen


def assert_whole(seen: list[Update], keys: Sequence[str]) -> None:
    """Each job ended once, last of all, and no version came twice or went back."""
    for key in keys:
        mine = [update for update in seen if update.key == key]
        versions = [update.version for update in mine]
        assert versions == sorted(set(versions))
        assert [update.is_final for update in mine].count(True) == 1
        assert mine[-1].is_final


async def test_a_watch_tells_each_change_to_the_end(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.engine.watching([held.job.key]) as ([snapshot], watch):
        assert (snapshot.version, snapshot.state) == (2, "executing")
        await tell_progress(process.store, held, 7)
        [update] = await watch.changes()
        assert decode_status(update.line).progress == 7
        await finish(process.store, held)
        [update] = await watch.changes()
        assert update.state == "success"
        assert await watch.changes() == []


async def test_what_ended_before_is_in_the_snapshot_alone(process: Process) -> None:
    [held] = await process.start_jobs()
    await finish(process.store, held)
    async with process.engine.watching([held.job.key]) as ([snapshot], watch):
        assert snapshot.state == "success"
        assert await watch.changes() == []
        assert await watch.ends() == {}


@pytest.mark.parametrize("seed", range(3))
async def test_finishes_that_race_with_opening_are_told_once(
    process: Process, other: Process, seed: int
) -> None:
    chance = random.Random(seed)
    claims = await process.start_jobs(300)

    async def run(held: Claim) -> None:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            await tell_progress(process.store, held, 1)
        await finish(process.store, held)

    async def watch(watcher: Process, keys: list[str]) -> None:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        assert_whole(await follow(watcher, keys), keys)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for held in claims:
            group.create_task(run(held))
            group.create_task(watch(process, [held.job.key]))
            group.create_task(watch(other, [held.job.key]))
        group.create_task(watch(other, [held.job.key for held in claims]))


async def test_every_waiter_is_told_the_same_end(process: Process, other: Process) -> None:
    [held] = await process.start_jobs()
    key = held.job.key
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        waiters = [
            group.create_task(waiter.engine.wait([key]))
            for waiter in (process, other, process, other)
        ]
        await until(lambda: is_watched(process, 2))
        await until(lambda: is_watched(other, 2))
        await finish(process.store, held)
    [record] = await process.engine.read([key])
    assert [waiter.result() for waiter in waiters] == 4 * [[record.update]]


async def is_watched(process: Process, count: int) -> bool:
    return process.watches.count == count


async def test_a_slow_reader_keeps_only_the_newest_of_each_job(process: Process) -> None:
    first, second = await process.start_jobs(2)
    [marker] = await process.start_jobs()
    keys = [first.job.key, second.job.key]
    async with process.engine.watching(keys) as (_, watch):
        for step in range(50):
            await tell_progress(process.store, first, step)
            await tell_progress(process.store, second, 100 + step)
        await finish(process.store, second)
        await all_told(process, marker)
        changes = {update.key: decode_status(update.line) for update in await watch.changes()}
        assert {key: status.status for key, status in changes.items()} == {
            first.job.key: "executing",
            second.job.key: "success",
        }
        assert changes[first.job.key].progress == 49
        await finish(process.store, first)
        [update] = await watch.changes()
        assert (update.key, update.state) == (first.job.key, "success")
        assert await watch.changes() == []


async def all_told(process: Process, marker: Claim) -> None:
    """Messages of one channel come in order: once the marker's came, all before it have."""
    async with process.engine.watching([marker.job.key]) as (_, watch):
        await finish(process.store, marker)
        await watch.ends()


def update(version: int, state: Any = "executing", key: str = "A" * 26) -> Update:
    return Update(key, version, state, b"%d" % version)


async def test_versions_never_go_back() -> None:
    watch = Watch({"A" * 26: 0})
    watch.offer(update(5))
    watch.offer(update(4))
    watch.offer(update(5))
    assert await watch.changes() == [update(5)]
    watch.offer(update(3, "success"))
    watch.offer(update(6))
    assert await watch.changes() == [update(6)]
    watch.offer(update(7, "success"))
    watch.offer(update(8))
    assert await watch.changes() == [update(7, "success")]
    assert await watch.changes() == []


async def test_a_snapshot_older_than_what_was_told_takes_nothing_back() -> None:
    watch = Watch({"A" * 26: 0})
    watch.offer(update(7, "success"))
    watch.skip(update(6))
    assert await watch.changes() == [update(7, "success")]


async def test_a_snapshot_that_was_told_meanwhile_is_not_told_again() -> None:
    watch = Watch({"A" * 26: 0})
    watch.offer(update(7, "success"))
    watch.skip(update(7, "success"))
    assert await watch.changes() == []


async def test_an_end_that_waits_to_be_read_is_told_before_an_interruption() -> None:
    watch = Watch(dict.fromkeys(["A" * 26, "B" * 26], 0))
    watch.offer(update(7, "success"))
    watch.interrupt("restarting")
    assert await watch.changes() == [update(7, "success")]
    with pytest.raises(Unavailable):
        await watch.changes()


async def test_all_ends_arrive_though_the_feed_is_cut_again_and_again(
    process: Process, other: Process
) -> None:
    claims = await process.start_jobs(300)
    keys = [held.job.key for held in claims]
    done = asyncio.Event()

    async def cut() -> None:
        while not done.is_set():
            await process.store.client.client_kill_filter(_type="pubsub")
            await asyncio.sleep(0.05)

    async def run(group: Sequence[Claim]) -> None:
        for held in group:
            await tell_progress(process.store, held, 1)
            await finish(process.store, held)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        watching = [
            group.create_task(follow(watcher, part))
            for watcher in (process, other)
            for part in (keys[:100], keys[100:])
        ]
        cutting = group.create_task(cut())
        group.create_task(run(claims[:150]))
        group.create_task(run(claims[150:]))
        for watch, part in zip(watching, 2 * [keys[:100], keys[100:]], strict=True):
            assert_whole(await watch, part)
        done.set()
        await cutting


async def test_an_end_that_was_told_while_the_feed_was_cut_is_read(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.engine.watching([held.job.key]) as (_, watch):
        async with process.store.client.pipeline(transaction=True) as pipeline:
            # In one transaction: the connection is gone before the end is told.
            pipeline.client_kill_filter(_type="pubsub")
            pipeline.ping()
            await pipeline.execute()
            await finish(process.store, held)
        async with asyncio.timeout(5):
            [told] = await watch.changes()
        assert told.is_final


async def test_watches_opened_while_the_feed_connects_are_all_live(
    process: Process, other: Process
) -> None:
    for _ in range(20):
        claims = await process.start_jobs(3)
        await other.store.client.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
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
    async with other.engine.watching([held.job.key]) as (_, watch):
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
    [[stranger], _] = await process.store.claim("worker", {"fast": 1}, 0)
    assert await process.channels() == own
    async with process.engine.watching([held.job.key, stranger.job.key]):
        async with other.engine.watching([stranger.job.key]):
            assert await process.channels() == own | {foreign}
        assert await process.channels() == own | {foreign}

    async def is_left() -> bool:
        return await process.channels() == own

    assert await until(is_left)
    assert process.watches.count == other.watches.count == 0


async def test_a_channel_left_and_joined_at_once_stays_joined(process: Process) -> None:
    foreign = new_key()[:CHANNEL_LENGTH]
    await process.store.submit(submission(process.store, 40, channel=foreign))
    claims, _ = await process.store.claim("worker", {"fast": 40}, 0)

    async def look(held: Claim) -> None:
        for _ in range(5):
            async with process.engine.watching([held.job.key]):
                await asyncio.sleep(0)
        assert_whole(await follow(process, [held.job.key]), [held.job.key])

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for held in claims:
            group.create_task(look(held))
        for held in claims:
            await finish(process.store, held)


async def test_a_record_that_is_gone_ends_the_wait(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.engine.watching([held.job.key]) as (_, watch):
        await process.store.client.delete(process.store.keys.job(held.job.key))
        await process.watches.reread([held.job.key])
        [told] = await watch.changes()
    assert told.is_final
    assert decode_status(told.line).error == "the task has expired"


async def test_a_record_that_is_not_there_yet_has_not_expired(process: Process) -> None:
    key = process.store.keys.new_job_key(process.watches.channel, 0)
    async with process.watches.open([key]) as watch:
        await process.watches.reread([key])
        assert watch.keys == {key}


async def test_made_up_keys_are_refused_before_anything_is_subscribed_to(process: Process) -> None:
    before = await process.channels()
    with pytest.raises(UnknownKeys):
        async with process.engine.watching([new_key() for _ in range(100)]):
            pass
    assert await process.channels() == before


async def test_a_watch_that_cannot_open_leaves_nothing_behind(settings: Settings) -> None:
    async with start_process(settings) as process:
        [held] = await process.start_jobs()
        await process.watches._feed.__aexit__()
        key = new_key("ZZZ" if process.watches.channel != "ZZZ" else "YYY")
        with pytest.raises(Unavailable):
            async with process.watches.open([key, held.job.key]):
                pass
        assert process.watches.count == 0
