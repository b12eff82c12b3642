"""Child jobs on a real Valkey: made once, ended with their parent, kept as long."""

from datetime import datetime
from typing import Any

import pytest

from dragon.errors import LeaseLost, OverLimits
from dragon.schemas import Claim, decode_status, is_key
from dragon.settings import Limits
from dragon.store.store import Store
from tests.support.jobs import child_of, submission
from tests.support.paths import ROOT
from tests.support.stores import claim, counters, expire_leases, finish, read, reap, retry, submit
from tests.support.waiting import DEADLINE_SECONDS


async def run_parent(store: Store, **options: object) -> Claim:
    [key] = await submit(store, submission(store, kind="flow", **options))  # type: ignore[arg-type]
    [held] = await claim(store, kind="flow")
    assert held.job.key == key
    return held


async def spawn(store: Store, parent: Claim, **options: object) -> str:
    [key] = await submit(store, child_of(store, parent, **options))  # type: ignore[arg-type]
    return key


def test_keys_of_children_are_keys_that_tell_nothing_of_the_parent(store: Store) -> None:
    parent = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    keys = [store.keys.child_key(parent, place) for place in (b"1", b"2", b"1")]
    assert all(map(is_key, keys))
    assert keys[0] == keys[2] != keys[1]
    assert {key[:3] for key in keys} == {keys[0][:3]} != {parent[:3]}
    assert {store.keys.shard_of(key) for key in keys} == {store.keys.shard_of(parent)}


async def test_a_child_is_made_once_whatever_it_has_come_to(store: Store) -> None:
    parent = await run_parent(store)
    key = await spawn(store, parent)
    [held] = await claim(store)
    await finish(store, held, result="done")
    done = await read(store, key)
    assert await spawn(store, parent) == key
    assert await read(store, key) == done
    assert await claim(store) == []


async def test_only_the_run_that_holds_the_parent_makes_children(store: Store) -> None:
    late = await run_parent(store)
    await retry(store, late, is_counted=False)
    [parent] = await claim(store, kind="flow")
    with pytest.raises(LeaseLost):
        await spawn(store, late)
    key = await spawn(store, parent)
    await finish(store, parent)
    with pytest.raises(LeaseLost):
        await spawn(store, parent, place=2)
    assert decode_status((await read(store, key)).update.line).error == "cancelled"


@pytest.mark.parametrize("end", ["success", "error", "cancel"])
async def test_children_end_with_their_parent_and_theirs_with_them(store: Store, end: str) -> None:
    parent = await run_parent(store)
    middle = await spawn(store, parent, kind="flow")
    [running] = await claim(store, kind="flow")
    inner = await spawn(store, running)
    [working] = await claim(store)
    waiting = await spawn(store, running, place=2)
    async with store.client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe(store.keys.cancelled_channel)
        await listener.get_message(timeout=DEADLINE_SECONDS)
        if end == "cancel":
            await store.cancel([parent.job.key])
        else:
            await finish(store, parent, end)
        stopped: set[str] = set()
        while len(stopped) < 2 + (end == "cancel"):
            message = await listener.get_message(timeout=DEADLINE_SECONDS)
            stopped |= {message["data"].decode()} if message else set()
    assert {middle, inner} <= stopped
    for key in (middle, inner, waiting):
        status = decode_status((await read(store, key)).update.line)
        assert (status.status, status.error) == ("error", "cancelled")
        assert status.events.completed is not None
    assert not await finish(store, working)
    assert await counters(store) == {}
    assert await claim(store) == []


async def test_children_end_when_the_last_worker_of_their_parent_is_lost(store: Store) -> None:
    parent = await run_parent(store, attempts=1)
    key = await spawn(store, parent)
    await expire_leases(store)
    await store.reap(0)
    await expire_leases(store)
    await store.reap(0)
    assert (await read(store, parent.job.key)).update.state == "error"
    assert decode_status((await read(store, key)).update.line).error == "cancelled"


async def test_children_go_on_while_their_parent_is_tried_again(store: Store) -> None:
    parent = await run_parent(store)
    key = await spawn(store, parent)
    await expire_leases(store)
    await store.reap(0)
    await expire_leases(store)
    _, requeued, _ = await reap(store)
    assert requeued == [parent.job.key]
    [held] = await claim(store)
    assert held.job.key == key
    assert await finish(store, held)


async def test_what_a_parent_waits_for_is_kept_as_long_as_the_parent(store: Store) -> None:
    parent = await run_parent(store, retention_seconds=1000)
    key = await spawn(store, parent, retention_seconds=1)
    [held] = await claim(store)
    await finish(store, held)
    await finish(store, parent)
    expires = (await read(store, parent.job.key)).expires
    assert (await read(store, key)).expires == expires
    await store.forget(0, [parent.job.key, key])
    assert await store.client.exists(f"{store.keys.base(0)}children:{parent.job.key}") == 0


async def test_a_parent_takes_none_of_what_its_account_may_run(store: Store) -> None:
    limits = Limits(running=1)
    parents = [await run_parent(store, limits=limits) for _ in range(2)]
    keys = [await spawn(store, parent, limits=limits) for parent in parents]
    for key in keys:
        [held] = await claim(store)
        assert held.job.key == key
        assert await counters(store) == {"running acme": 1} | (
            {"queued acme": 1} if key == keys[0] else {}
        )
        await finish(store, held)


async def test_children_count_as_queued_unless_they_are_there_already(store: Store) -> None:
    limits = Limits(queued=1)
    parent = await run_parent(store, limits=limits)
    key = await spawn(store, parent, limits=limits)
    assert await spawn(store, parent, limits=limits) == key
    with pytest.raises(OverLimits):
        await spawn(store, parent, limits=limits, place=2)


async def test_a_child_of_the_parents_class_comes_before_all_others(store: Store) -> None:
    parent = await run_parent(store)
    others = await submit(store, submission(store, 5, kind="flow"))
    key = await spawn(store, parent, kind="flow")
    claimed = [held.job.key for held in await claim(store, kind="flow")]
    assert claimed == [key, *others]


async def test_children_of_another_class_wait_for_their_accounts_turn(store: Store) -> None:
    parent = await run_parent(store)
    [first] = await submit(store, submission(store, 1))
    key = await spawn(store, parent)
    [other] = await submit(store, submission(store, 1, account="other"))
    claimed = [held.job.key for held in await claim(store)]
    assert sorted(claimed[:2]) == sorted([first, other])
    assert claimed[2] == key


@pytest.mark.parametrize(
    "day",
    [
        "1970-01-01",
        "2024-02-29",
        "2024-12-31",
        "2026-11-21",
        "2027-03-01",
        "2028-02-29",
        "2100-03-01",
    ],
)
async def test_scripts_write_dates_as_everybody_does(store: Store, day: str) -> None:
    written = f"{day}T23:59:08.000042+00:00"
    seconds = int(datetime.fromisoformat(written).timestamp())
    common = (ROOT / "dragon/store/scripts/common.lua").read_text()
    function = common[common.index("local function iso()") :].partition("\nend\n")[0]
    script = f"local time = {{ARGV[1], ARGV[2]}} {function} end return iso()"
    answer: Any = store.client.eval(script, 0, str(seconds), "42")
    assert (await answer).decode() == written
