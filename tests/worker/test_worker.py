"""What a worker does with tasks that end, fail, break, crash and take too long."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragon.schemas import decode_status
from dragon.store.store import Store
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.jobs import submission
from tests.support.processes import Dragon
from tests.support.waiting import eventually, until
from tests.support.wire import next_line


def gates(path: Path) -> int:
    """How many runs wait at a gate."""
    return len(list(path.parent.glob(path.name + ".*.started")))


def ran(dragon: Dragon, key: str) -> list[dict[str, Any]]:
    """What the log says of each attempt at a job."""
    return [event for event in dragon.events("job_ran") if event["key"] == key]


async def test_a_task_that_ends_has_its_result_and_all_events(api: Api) -> None:
    final = await api.run(task_name="hello", name="John")
    assert final["status"] == "success"
    assert final["result"] == "Hello John"
    events = final["events"]
    assert events["queued"] <= events["started"] <= events["completed"]


async def test_a_task_that_cannot_be_done_is_tried_once(api: Api, broker: Broker) -> None:
    final = await api.run(task_name="site.fail")
    assert (final["status"], final["result"]) == ("error", "it cannot be done")
    assert await broker.attempts(final["key"]) == 1


async def test_an_interrupted_task_is_tried_again_with_growing_pauses(
    api: Api, broker: Broker, dragon: Dragon
) -> None:
    began = time.monotonic()
    final = await api.run(task_name="site.interrupted")
    # A tenth and a fifth of a second, by timers that may be early by a tick.
    assert time.monotonic() - began > 0.29
    assert final["status"] == "error"
    assert final["result"] == "the line went dead (tried 3 times)"
    assert await broker.attempts(final["key"]) == 3
    # The last line of the log is written after the end was told.
    await eventually(lambda: len(ran(dragon, final["key"])) == 3)
    attempts = ran(dragon, final["key"])
    assert [event["attempt"] for event in attempts] == [1, 2, 3]
    assert [event["status"] for event in attempts] == ["queued", "queued", "error"]


async def test_a_bug_is_told_plainly_and_logged_with_its_stack(
    api: Api, broker: Broker, dragon: Dragon
) -> None:
    final = await api.run(task_name="site.bug")
    assert final["status"] == "error"
    assert final["result"] == "the task failed because of an internal error"
    assert await broker.attempts(final["key"]) == 1
    [bug] = [event for event in dragon.events("run_bug") if event["key"] == final["key"]]
    assert "ZeroDivisionError: a secret detail" in bug["exception"]
    assert "site_tasks/tasks.py" in bug["exception"]


@pytest.mark.parametrize("task_name", ["site.timeout_error", "site.progress_of_no_json"])
async def test_what_only_the_author_can_mend_is_a_bug_and_tried_once(
    api: Api, broker: Broker, task_name: str
) -> None:
    final = await api.run(task_name=task_name)
    assert final["result"] == "the task failed because of an internal error"
    assert await broker.attempts(final["key"]) == 1


async def test_a_result_that_no_json_can_hold_is_a_bug_as_well(api: Api, broker: Broker) -> None:
    final = await api.run(task_name="site.unwritable")
    assert final["status"] == "error"
    assert final["result"] == "the task failed because of an internal error"
    assert await broker.attempts(final["key"]) == 1


@pytest.mark.parametrize("has_failed_part", [False, True])
async def test_a_task_that_takes_too_long_is_ended(
    api: Api, broker: Broker, has_failed_part: bool
) -> None:
    began = time.monotonic()
    final = await api.run(task_name="site.slow", has_failed_part=has_failed_part)
    # Timers of event loops may be early by a tick. Of itself the task would never end.
    assert time.monotonic() - began > 0.49
    assert final["status"] == "error"
    assert final["result"] == "the task took longer than its 0.5 seconds"
    assert await broker.attempts(final["key"]) == 1


async def test_a_crash_hits_its_task_alone(api: Api, dragon: Dragon, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    worker = dragon.worker()
    definitions = [
        {"task_name": "site.gate", "path": str(gate)},
        {"task_name": "site.hold", "seconds": 0.3},
        {"task_name": "site.crash"},
        {"task_name": "site.crash"},
    ]
    request = asyncio.create_task(api.post("/v1/create", {"tasks": definitions, "block": True}))
    await eventually(lambda: gates(gate) == 1)
    final = await api.run(task_name="site.crash")
    assert final["status"] == "error"
    assert final["result"] == "the file crashed its decoder (SIGSEGV)"
    gate.touch()
    status, finals = await request
    assert status == 200
    assert [final["status"] for final in finals] == ["success", "success", "error", "error"]
    assert (await api.run(task_name="site.hold", seconds=0))["result"] == "held"
    assert dragon.worker() == worker


async def test_a_task_that_no_worker_knows_is_an_error_in_words(dragon: Dragon) -> None:
    async with Store(dragon.settings()) as store:
        request = submission(store, task="site.unknown", attempts=2)
        await store.submit(request)

        async def end() -> Any:
            [record] = await store.read([request.jobs[0].key])
            return decode_status(record.update.line) if record and record.update.is_final else None

        status = await until(end)
    assert status.status == "error"
    assert status.error == "this worker does not know the task 'site.unknown' (tried 2 times)"


async def test_parameters_that_this_version_cannot_read_are_an_error(dragon: Dragon) -> None:
    async with Store(dragon.settings()) as store:
        request = submission(store, task="site.steps", attempts=2)
        job = msgspec.structs.replace(request.jobs[0], params=msgspec.Raw(b'{"steps":"many"}'))
        await store.submit(msgspec.structs.replace(request, jobs=(job,)))

        async def end() -> Any:
            [record] = await store.read([job.key])
            return decode_status(record.update.line) if record and record.update.is_final else None

        status = await until(end)
    assert status.status == "error"
    assert status.error == "the task failed because of an internal error"


async def test_progress_is_told_ten_times_a_second_at_most(api: Api) -> None:
    began = time.monotonic()
    told: list[int] = []
    async with api.create_stream({"task_name": "site.flood", "steps": 100_000}) as response:
        [created] = await next_line(response)
        while len(told) < 10:
            update = await next_line(response)
            told += [update["progress"]] if "progress" in update else []
    assert time.monotonic() - began > 0.89
    assert told == sorted(set(told))
    await api.post("/v1/cancel", {"tasks": created["key"]})


async def test_slots_bound_what_runs_at_once_and_heavy_tasks_delay_no_fast_one(
    api: Api, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    definition = {"task_name": "site.heavy_gate", "path": str(gate)}
    keys = await api.create(*4 * [definition])
    await eventually(lambda: gates(gate) == 2)
    for _ in range(3):
        assert (await api.run(task_name="hello", name="you"))["status"] == "success"
    assert gates(gate) == 2
    _, statuses = await api.post("/v1/status", {"tasks": keys})
    assert [status["status"] for status in statuses] == 2 * ["executing"] + 2 * ["queued"]
    gate.touch()
    _, finals = await api.post("/v1/status", {"tasks": keys, "block": True})
    assert [final["status"] for final in finals] == 4 * ["success"]
    assert gates(gate) == 4


async def test_more_tasks_than_slots_all_end(api: Api) -> None:
    definitions = 100 * [{"task_name": "site.steps", "steps": 1}]
    status, finals = await api.post("/v1/create", {"tasks": definitions, "block": True})
    assert status == 200
    assert [final["result"] for final in finals] == 100 * [1]


@pytest.mark.parametrize("account", ["one", "acme"])
async def test_an_account_runs_as_many_as_it_may(api: Api, tmp_path: Path, account: str) -> None:
    gate = tmp_path / "gate"
    tasks = 3 * [{"task_name": "site.gate", "path": str(gate)}]
    keys = await api.create(*tasks, Authorization=f"Secret {account}-secret")
    expected = 1 if account == "one" else 3
    await eventually(lambda: gates(gate) == expected)
    assert (await api.run(task_name="hello", name="you"))["status"] == "success"
    assert gates(gate) == expected
    gate.touch()
    _, finals = await api.post("/v1/status", {"tasks": keys, "block": True})
    assert [final["status"] for final in finals] == 3 * ["success"]


async def test_nothing_is_left_in_the_work_directory(api: Api, dragon: Dragon) -> None:
    await api.run(task_name="site.fail")
    await api.run(task_name="site.bug")
    [directory] = (dragon.data / "work").iterdir()
    await eventually(lambda: not list(directory.iterdir()))
