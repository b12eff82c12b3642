"""Who comes next: accounts take turns, in proportion to their weights, whatever others queue."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dragon.schemas import Kind
from dragon.settings import Limits
from dragon.store.store import Store
from tests.support.accounts import CONFIG
from tests.support.api import api_of
from tests.support.gate import Gate
from tests.support.jobs import submission
from tests.support.processes import Dragon
from tests.support.stores import claim, finish
from tests.support.waiting import eventually

Order = list[str]


async def accounts(store: Store, count: int, kind: Kind = "fast") -> Order:
    """Whose jobs the next ones are."""
    return [held.job.account for held in await claim(store, count, kind)]


async def test_a_thousand_jobs_of_one_account_do_not_hold_up_one_of_another(store: Store) -> None:
    await store.submit(submission(store, 1000, account="many"))
    await store.submit(submission(store, 1, account="single"))
    assert "single" in await accounts(store, 2)


async def test_nor_when_half_of_them_have_run(store: Store) -> None:
    await store.submit(submission(store, 1000, account="many"))
    await accounts(store, 500)
    await store.submit(submission(store, 1, account="single"))
    assert "single" in await accounts(store, 2)


async def test_jobs_of_one_account_run_in_their_order(store: Store) -> None:
    first, second = submission(store, 30), submission(store, 30)
    await store.submit(first)
    await store.submit(second)
    keys = [job.key for job in (*first.jobs, *second.jobs)]
    assert [held.job.key for held in await claim(store, 60)] == keys


async def test_accounts_take_turns(store: Store) -> None:
    for account in ("a", "b", "c"):
        await store.submit(submission(store, 20, account=account))
    order = await accounts(store, 30)
    assert all(set(order[start : start + 3]) == {"a", "b", "c"} for start in range(0, 30, 3))


async def test_shares_follow_the_weights(store: Store) -> None:
    await store.submit(submission(store, 100, account="light", weight=1))
    await store.submit(submission(store, 100, account="heavy", weight=3))
    shares = Counter(await accounts(store, 80))
    assert shares["heavy"] == pytest.approx(60, abs=1)


async def test_who_was_idle_has_saved_nothing_up(store: Store) -> None:
    await store.submit(submission(store, 1, account="sleeper"))
    await store.submit(submission(store, 300, account="busy"))
    await accounts(store, 201)
    await store.submit(submission(store, 100, account="sleeper"))
    assert Counter(await accounts(store, 40))["busy"] == pytest.approx(20, abs=1)


async def test_classes_have_queues_of_their_own(store: Store) -> None:
    await store.submit(submission(store, 500, kind="heavy"))
    await store.submit(submission(store, 1, kind="fast"))
    claims = (await store.claim("worker", {"fast": 1, "heavy": 0}, 0)).claims
    assert [held.job.kind for held in claims] == ["fast"]
    claims = (await store.claim("worker", {"fast": 5, "heavy": 2}, 0)).claims
    assert [held.job.kind for held in claims] == ["heavy", "heavy"]


async def test_turns_are_taken_in_each_class_apart(store: Store) -> None:
    await store.submit(submission(store, 500, account="a", kind="heavy"))
    await store.submit(submission(store, 10, account="a"))
    await store.submit(submission(store, 10, account="b"))
    assert Counter(await accounts(store, 10))["a"] == 5


async def test_an_account_that_is_full_does_not_block_others(store: Store) -> None:
    full = submission(store, 500, account="full", limits=Limits(running=1))
    await store.submit(full)
    await store.submit(submission(store, 10, account="other"))
    claims = await claim(store, 8)
    assert Counter(held.job.account for held in claims) == {"full": 1, "other": 7}
    [running] = [held for held in claims if held.job.account == "full"]
    assert await finish(store, running)
    [following] = [held for held in await claim(store, 2) if held.job.account == "full"]
    assert following.job.key == full.jobs[1].key


async def test_an_old_place_taken_up_again_gives_newcomers_no_advantage(store: Store) -> None:
    await store.submit(submission(store, 100, account="full", limits=Limits(running=1)))
    [running] = await claim(store, 1)
    await store.submit(submission(store, 300, account="busy"))
    await accounts(store, 200)
    assert await finish(store, running)
    assert await accounts(store, 1) == ["full"]
    await store.submit(submission(store, 50, account="newcomer"))
    assert Counter(await accounts(store, 20))["busy"] == pytest.approx(10, abs=1)


async def test_no_shard_waits_for_another_to_be_empty(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with Dragon(
        tmp_path / "dragon", config="shards = 4\nslots = { fast = 1 }\n" + CONFIG
    ) as dragon:
        async with api_of(dragon.url) as client:
            await client.create({"task_name": "site.gate", "path": str(gate)})
            await eventually((tmp_path / "gate.0.started").exists)
            requests = [4 * [{"task_name": "site.steps", "steps": 1}] for _ in range(40)]
            keys = [key for request in requests for key in await client.create(*request)]
            shards = {shard_of(key) for key in keys}
            gate.touch()
            await eventually(lambda: len(dragon.events("job_ran")) > 2 * len(shards))
        first = [event["key"] for event in dragon.events("job_ran")][1 : 2 * len(shards) + 1]
        assert {shard_of(key) for key in first} == shards


async def test_a_worker_with_room_again_asks_the_shards_that_it_passed_over(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "gate")
    config = "shards = 2\npoll_seconds = 60\nslots = { fast = 1 }\n" + CONFIG
    with Dragon(tmp_path / "dragon", config=config) as dragon:
        async with api_of(dragon.url) as client:
            keys = await client.create(gate.task())
            await gate.runs(1)
            while len({shard_of(key) % 2 for key in keys[1:]}) < 2:
                keys += await client.create({"task_name": "site.steps", "steps": 1})
            gate.open()
            await eventually(lambda: len(dragon.events("job_ran")) == len(keys))


async def test_a_backlog_of_one_class_does_not_make_a_worker_ask_again_and_again(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    with Dragon(tmp_path / "dragon") as dragon:
        async with api_of(dragon.url) as client, Store(dragon.settings()) as store:
            definition = {"task_name": "site.heavy_gate", "path": str(gate)}
            await client.create(*20 * [definition])
            await eventually((tmp_path / "gate.1.started").exists)
            await store.client.config_resetstat()
            began = time.monotonic()
            for _ in range(10):
                await client.create({"task_name": "site.steps", "steps": 1})
            await eventually(lambda: len(dragon.events("job_ran")) == 10)
            statistics: Any = await store.client.info("commandstats")
            # Leases, and what else is looked after, take some each second.
            passed = time.monotonic() - began
            assert statistics["cmdstat_evalsha"]["calls"] < 150 + 20 * passed
            gate.touch()


def shard_of(key: str) -> int:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".index(key[4]) % 4
