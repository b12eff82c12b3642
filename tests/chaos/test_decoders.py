"""Decoders end with their workers, and in time where they hang."""

import asyncio
import random
import time
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import psutil
import pytest

from tests.chaos.check import check
from tests.chaos.harness import Fleet
from tests.chaos.test_crashes import held_by
from tests.support.processes import Part, is_alive
from tests.support.waiting import eventually


@pytest.mark.chaos(ci=3, long=100)
async def test_p19_no_child_outlives_a_killed_worker(
    short_leased: Fleet, chance: random.Random, n: int
) -> None:
    fleet = short_leased
    for _ in range(n):
        # It would never end by itself.
        hang = {"task_name": "site.hang", "is_busy": chance.random() < 0.5}
        keys = set(await fleet.submit(4 * [hang]))
        # Where that takes long, they are ended by then, and their decoders are replaced.
        await eventually(partial(are_begun, fleet, keys))
        await asyncio.sleep(chance.uniform(0, 0.5))
        worker = chance.choice(busy_workers(fleet, keys) or fleet.workers)
        await eventually(partial(worker.process.children, recursive=True))
        await fleet.kill(worker)
        await fleet.start("worker")
    await check(fleet, is_exact=True)


def busy_workers(fleet: Fleet, keys: set[str]) -> list[Part]:
    """Those that run one of the jobs."""
    return [worker for worker in fleet.workers if held_by(worker).keys() & keys]


def are_begun(fleet: Fleet, keys: set[str]) -> bool:
    """Some run; or all did, and it was not seen."""
    return bool(busy_workers(fleet, keys)) or have_run(fleet, keys)


def have_run(fleet: Fleet, keys: set[str]) -> bool:
    return keys <= {event["key"] for event in fleet.events("job_ran")}


@pytest.mark.chaos(ci=4, long=50)
async def test_p20_a_child_that_hangs_is_ended_in_time(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for _ in range(n):
        await eventually(fleet.decoders)
        before = fleet.decoders()
        began = time.time()
        keys = await fleet.submit(
            [{"task_name": "site.hang", "is_busy": chance.random() < 0.5} for _ in range(2)]
        )
        await asyncio.sleep(chance.uniform(0, 1))
        stopped = chance.choice(before)
        # One that hung in the round before may have been on its way out.
        with suppress(psutil.NoSuchProcess):
            stopped.suspend()
        finals = await fleet.wait(keys)
        assert {final["status"] for final in finals} == {"error"}
        assert "took longer than" in finals[0]["result"]
        # Both may be with one worker: its only decoder is for the second once the first has ended.
        ends = sorted(ended_at(final) for final in finals)
        for start, end in zip([began, *ends], ends, strict=False):
            assert fleet.pace.seconds(start, end) <= 2 + 5
        with_signal(stopped)
    await check(fleet, is_exact=True)


def ended_at(final: Any) -> float:
    return datetime.fromisoformat(final["events"]["completed"]).timestamp()


def with_signal(process: psutil.Process) -> None:
    if is_alive(process):
        process.resume()
