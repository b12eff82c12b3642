"""Workers and decoders that are killed, stopped or told to leave."""

import time
import tomllib
from pathlib import Path
from typing import Any

import psutil
import pytest

from dragon.store.store import Store
from tests.support.accounts import CONFIG
from tests.support.api import Api, api_of
from tests.support.faults import attempts, create, ends, kill_worker, second_worker
from tests.support.gate import Gate
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import eventually, until

LEASE_SECONDS = tomllib.loads(CONFIG)["lease_seconds"]


@pytest.mark.lease(4)
async def test_a_killed_workers_task_ends_on_another_one(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task())
    await gate.runs(1)
    with second_worker(own) as other:
        # While the supervisor stands still, it starts no worker in the place of the killed one.
        supervisor = psutil.Process(own.process.pid)
        killed = own.worker()
        supervisor.suspend()
        killed.kill()
        await gate.runs(2)
        gate.open()
        [final] = await ends(client, keys)
        assert (final["status"], final["result"]) == ("success", "open")
        # The last line of the log is written after the end was told.
        await eventually(lambda: other.events("job_ran"))
        assert [event["key"] for event in other.events("job_ran")] == keys
        supervisor.resume()
    assert await attempts(own, keys) == [2]


@pytest.mark.lease(4)
async def test_a_cancelled_task_tidies_up_for_longer_than_its_lease(
    own: Dragon, client: Api, tmp_path: Path
) -> None:
    tidy, other = ({"path": str(tmp_path / name)} for name in ("tidy", "other"))
    keys = await create(
        client, {"task_name": "site.tidy"} | tidy, {"task_name": "site.gate"} | other
    )
    await eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
    await client.post("/v1/cancel", {"tasks": keys[0]})
    await eventually(lambda: own.events("job_cancelled"))
    # The other's lease is asked for together with that of the one that has none any more.
    for _ in range(2):
        await renewed(own, keys[1])
    (tmp_path / "tidy").touch()
    await eventually((tmp_path / "tidy.tidied").exists)
    assert keys[0] not in [event["key"] for event in own.events("lease_lost")]
    (tmp_path / "other").touch()
    await ends(client, keys)


async def renewed(own: Dragon, key: str) -> None:
    """Wait until the worker has prolonged the lease of a job."""
    async with Store(own.settings()) as store:
        leases, member = store.keys.base(0) + "leases", key.encode()
        before: Any = await store.client.zscore(leases, member)

        async def is_later() -> bool:
            now: Any = await store.client.zscore(leases, member)
            return bool(now > before)

        await until(is_later)


@pytest.mark.lease(4)
async def test_a_killed_workers_task_ends_after_the_restart(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), gate.task())
    await gate.runs(2)
    killed = own.worker()
    killed.kill()
    await gate.runs(4)
    gate.open()
    assert [final["status"] for final in await ends(client, keys)] == ["success", "success"]
    assert await attempts(own, keys) == [2, 2]
    assert own.worker().pid != killed.pid
    assert len(list((own.data / "work").iterdir())) == 1


async def test_poison_that_kills_its_worker_costs_its_neighbours_nothing(
    own: Dragon, client: Api
) -> None:
    poison = {"task_name": "site.kill_worker"}
    good = [{"task_name": "site.steps", "steps": 3}] * 6
    poisoned, *others = await create(client, poison, *good)
    [final] = await ends(client, [poisoned])
    assert final["result"] == "the worker was lost while it ran the task, 3 times"
    assert [one["status"] for one in await ends(client, others)] == ["success"] * 6


async def test_a_task_whose_worker_dies_each_time_ends_as_an_error_and_others_do_not(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task())
    for attempt in range(1, 4):
        await gate.runs(attempt)
        if attempt < 3:  # its last one it has alone
            assert (await client.run(task_name="hello", name="you"))["status"] == "success"
        own.worker().kill()
    [final] = await ends(client, keys)
    assert final["status"] == "error"
    assert final["result"] == "the worker was lost while it ran the task, 3 times"
    assert (await client.run(task_name="hello", name="you"))["status"] == "success"


async def test_a_last_attempt_starts_as_soon_as_the_worker_has_nothing_else(
    tmp_path: Path,
) -> None:
    suspect, other = Gate(tmp_path / "suspect"), Gate(tmp_path / "other")
    config = "attempts = 2\npoll_seconds = 60\n" + CONFIG
    with Dragon(tmp_path / "d", config=config) as own:
        async with api_of(own.url) as client:
            await create(client, suspect.task())
            await suspect.runs(1)
            await kill_worker(own)
            await create(client, other.task())
            await other.runs(1)
            await eventually(lambda: own.events("job_requeued"))
            other.open()
            await suspect.runs(2)


async def test_a_last_attempt_waits_no_longer_than_a_lease_for_others(tmp_path: Path) -> None:
    suspect, other = Gate(tmp_path / "suspect"), Gate(tmp_path / "other")
    with Dragon(tmp_path / "d", config="attempts = 2\n" + CONFIG) as own:
        async with api_of(own.url) as client:
            await create(client, suspect.task())
            await suspect.runs(1)
            await kill_worker(own)
            [key] = await create(client, other.task())
            await other.runs(1)
            await suspect.runs(2)
            suspect.open()
            assert (await client.run(task_name="hello", name="you"))["status"] == "success"
            other.open()
            assert [final["status"] for final in await ends(client, [key])] == ["success"]


async def test_last_attempts_run_one_after_the_other_however_long_they_take(
    tmp_path: Path,
) -> None:
    gates = [Gate(tmp_path / name) for name in ("one", "other")]

    def is_again(gate: Gate) -> bool:
        return gate.count() == 2

    with Dragon(tmp_path / "d", config="attempts = 2\n" + CONFIG) as own:
        async with api_of(own.url) as client:
            keys = await create(client, *(gate.task() for gate in gates))
            for gate in gates:
                await gate.runs(1)
            own.worker().kill()
            await eventually(lambda: any(map(is_again, gates)))
            began = time.monotonic()
            # It runs for longer than it would wait for others to end.
            await eventually(lambda: time.monotonic() - began > 1.5 * LEASE_SECONDS)
            [first] = filter(is_again, gates)
            first.open()
            await eventually(lambda: all(map(is_again, gates)))
            for gate in gates:
                gate.open()
            finals = await ends(client, keys)
            assert await attempts(own, keys) == [2, 2]
    earlier, later = sorted((final["events"] for final in finals), key=lambda e: e["started"])
    assert earlier["completed"] <= later["started"]


@pytest.mark.lease(20)
async def test_a_killed_decoder_hits_its_task_alone(own: Dragon, client: Api, gate: Gate) -> None:
    holds = len(own.decoders()) * [{"task_name": "site.hold"}]
    keys = await create(client, gate.task(), *holds)

    async def all_told() -> list[int]:
        _, statuses = await client.post("/v1/status", {"tasks": keys[1:]})
        pids = [status["progress"] for status in statuses if "progress" in status]
        return pids if len(pids) == len(holds) else []

    killed, *others = pids = await until(all_told)
    psutil.Process(killed).kill()

    async def all_told_again() -> bool:
        told = await all_told()
        return bool(told) and told != pids

    assert await until(all_told_again)
    assert (await all_told())[1:] == others
    assert all(is_alive(psutil.Process(pid)) for pid in others)
    assert await attempts(own, keys) == [1, 2, *len(others) * [1]]
    gate.open()
    [final] = await ends(client, keys[:1])
    assert final["status"] == "success"
    await client.post("/v1/cancel", {"tasks": keys[1:]})


@pytest.mark.lease(4)
async def test_a_worker_that_wakes_up_late_changes_nothing(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task("site.gated_file"))
    await gate.runs(1)
    late = own.worker()
    with second_worker(own):
        late.suspend()
        await gate.runs(2)
        gate.open()
        [final] = await ends(client, keys)
        late.resume()
        await eventually(lambda: own.events("lease_lost") or own.events("job_ran"))
    assert final["status"] == "success"
    assert await ends(client, keys) == [final]
    async with client.session.get(final["result"]["output"]) as response:
        assert await response.text() == "1" * 100_000
    assert await attempts(own, keys) == [2]
    assert (await client.run(task_name="hello", name="you"))["status"] == "success"


@pytest.mark.lease(20)
async def test_a_worker_told_to_leave_hands_back_what_it_cannot_end(
    own: Dragon, client: Api, gate: Gate
) -> None:
    definitions = [gate.task("site.gated_file"), gate.task()]
    definitions += 60 * [{"task_name": "site.steps", "steps": 4}]
    keys = await create(client, *definitions)
    await gate.runs(2)
    leaving = own.worker()
    leaving.terminate()
    await gate.runs(4)
    gate.open()
    finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    assert await attempts(own, keys) == len(keys) * [1]
    assert {event["attempt"] for event in own.events("job_ran")} == {1}
    assert {event["key"] for event in own.events("job_handed_back")} >= set(keys[:2])
    assert not is_alive(leaving)
    assert [event["code"] for event in own.events("process_died")] == [0]
    async with client.session.get(finals[0]["result"]["output"]) as response:
        assert len(set(await response.text())) == 1
        assert response.content_length == 100_000
