"""Watching jobs: each change once, in order, to the end."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from dragon.engine.watch import Watch
from dragon.errors import Unavailable, UnknownKeys
from dragon.schemas import Claim, Update, decode_status, new_key
from dragon.settings import Settings
from tests.support.waiting import DEADLINE_SECONDS, until
from tests.support.watchers import (
    Process,
    assert_whole,
    finish,
    follow,
    start_process,
    tell_progress,
)


async def test_a_watch_tells_each_change_to_the_end(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.watching([held.job.key]) as ([snapshot], watch):
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
    async with process.watching([held.job.key]) as ([snapshot], watch):
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

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        for held in claims:
            group.create_task(run(held))
            group.create_task(watch(process, [held.job.key]))
            group.create_task(watch(other, [held.job.key]))
        group.create_task(watch(other, [held.job.key for held in claims]))


async def test_every_waiter_is_told_the_same_end(process: Process, other: Process) -> None:
    [held] = await process.start_jobs()
    key = held.job.key
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
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
    async with process.watching(keys) as (_, watch):
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
    async with process.watching([marker.job.key]) as (_, watch):
        await finish(process.store, marker)
        await watch.ends()


def update(version: int, state: Any = "executing", key: str = "A" * 26) -> Update:
    return Update(key, version, state, b"%d" % version)


def watch_of(*keys: str) -> Watch:
    return Watch(keys, lambda _: None)


async def test_versions_never_go_back() -> None:
    watch = watch_of("A" * 26)
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
    watch = watch_of("A" * 26)
    watch.offer(update(7, "success"))
    watch.skip(update(6))
    assert await watch.changes() == [update(7, "success")]


async def test_a_snapshot_that_was_told_meanwhile_is_not_told_again() -> None:
    watch = watch_of("A" * 26)
    watch.offer(update(7, "success"))
    watch.skip(update(7, "success"))
    assert await watch.changes() == []


async def test_an_end_that_waits_to_be_read_is_told_before_an_interruption() -> None:
    watch = watch_of("A" * 26, "B" * 26)
    watch.offer(update(7, "success"))
    watch.interrupt("restarting")
    assert await watch.changes() == [update(7, "success")]
    with pytest.raises(Unavailable):
        await watch.changes()


class Shop:
    """A sink that takes what it is offered while it is open."""

    def __init__(self) -> None:
        self.is_open = True
        self.taken: list[Update] = []

    def take(self, update: Update) -> bool:
        if self.is_open:
            self.taken.append(update)
        return self.is_open


async def test_a_sink_gets_what_is_waited_for_and_the_reader_what_it_refuses() -> None:
    watch = watch_of("A" * 26)
    watch.sink = shop = Shop()
    watch.offer(update(1))
    assert await watch.changes() == [update(1)]
    waiting = asyncio.create_task(watch.changes())
    await asyncio.sleep(0)
    watch.offer(update(2))
    watch.offer(update(3))
    assert shop.taken == [update(2), update(3)]
    shop.is_open = False
    watch.offer(update(4))
    shop.is_open = True
    # The reader has not come to pass on the fourth yet.
    watch.offer(update(5))
    assert await waiting == [update(5)]
    waiting = asyncio.create_task(watch.changes())
    await asyncio.sleep(0)
    watch.offer(update(6, "success"))
    assert shop.taken == [update(2), update(3), update(6, "success")]
    assert await waiting == []


async def test_a_record_that_is_gone_ends_the_wait(process: Process) -> None:
    [held] = await process.start_jobs()
    async with process.watching([held.job.key]) as (_, watch):
        await process.store.client.delete(process.store.keys.job(held.job.key))
        await process.watches.reread([held.job.key])
        [told] = await watch.changes()
    assert told.is_final
    status = decode_status(told.line)
    assert status.error == "the task has expired"
    assert datetime.fromisoformat(status.events.queued).tzinfo == UTC


async def test_a_record_that_is_not_there_yet_has_not_expired(process: Process) -> None:
    key = process.store.keys.new_job_key(process.watches.channel, 0)
    with await process.watches.open([key]) as watch:
        await process.watches.reread([key])
        assert watch.keys == {key}


async def test_made_up_keys_are_refused_before_anything_is_subscribed_to(process: Process) -> None:
    before = await process.channels()
    with pytest.raises(UnknownKeys):
        async with process.watching([new_key() for _ in range(100)]):
            pass
    assert await process.channels() == before


async def test_a_watch_that_cannot_open_leaves_nothing_behind(
    settings: Settings, process: Process
) -> None:
    [held] = await process.start_jobs()
    async with start_process(msgspec.structs.replace(settings, redis_timeout_seconds=4.0)) as hasty:
        await hasty.watches._feed.__aexit__()
        key = new_key("ZZZ" if hasty.watches.channel != "ZZZ" else "YYY")
        with pytest.raises(Unavailable):
            await hasty.watches.open([key, held.job.key])
        assert hasty.watches.count == 0
