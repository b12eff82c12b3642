"""Machines whose clocks are wrong, and are set while the processes run."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from dragon.engine.reaper import PAUSE_SECONDS
from tests.chaos.check import check
from tests.chaos.clock import Clock
from tests.chaos.harness import END_SECONDS, Fleet
from tests.chaos.test_crashes import mixed, read_stream
from tests.support.gate import Gate
from tests.support.processes import Part
from tests.support.waiting import until

HOUR = 3600
JUMPS = (HOUR, -HOUR, 24 * HOUR, -24 * HOUR)
REUSE_SECONDS = HOUR
HANG = {"task_name": "site.hang", "is_busy": False}


class Clocks:
    """A fleet in which each process has a clock of its own."""

    def __init__(self, fleet: Fleet, path: Path) -> None:
        self.fleet = fleet
        self.of: dict[Part, Clock] = {}
        self._path = path

    async def start(self, kind: Literal["serve", "worker"]) -> None:
        clock = Clock(self._path / f"clock{len(self.of)}")
        self.of[await self.fleet.start(kind, **clock.environment())] = clock

    async def are_in_force(self, chance: random.Random) -> bool:
        """What each process logged last is dated by its clock; all get something to log first."""
        for server in self.fleet.servers:
            api = self.fleet.api(server)
            status, answer = await api.post("/v1/create", {"tasks": mixed(chance, 20)})
            assert status == 200
            await self.fleet.wait(self.fleet.ledger.acknowledge(answer))
        return all(
            is_near(last_logged(part), time.time() + clock.seconds)
            for part, clock in self.of.items()
        )


def is_near(moment: float, other: float) -> bool:
    """Far closer than any jump, and far from what any test takes."""
    return abs(moment - other) < HOUR / 2


def last_logged(part: Part) -> float:
    return datetime.fromisoformat(part.events("")[-1]["timestamp"]).timestamp()


@pytest_asyncio.fixture
async def clocks(tmp_path: Path) -> AsyncIterator[Clocks]:
    async with Fleet(tmp_path, servers=0, workers=0) as fleet:
        clocks = Clocks(fleet, tmp_path)
        for kind in ("serve", "serve", "worker", "worker"):
            await clocks.start("serve" if kind == "serve" else "worker")
        yield clocks


@pytest.mark.chaos(ci=8, long=40)
async def test_p24_clocks_that_jump_hurt_nothing(
    clocks: Clocks, chance: random.Random, tmp_path: Path, n: int
) -> None:
    fleet = clocks.fleet
    first = [await make_file(fleet, server) for server in fleet.servers]
    for number in range(n):
        parts = fleet.servers if number % 2 else fleet.workers
        gates = [Gate(tmp_path / f"gate{number}-{index}") for index in range(6)]
        async with asyncio.TaskGroup() as group:
            held = await fleet.submit([gate.task("site.gated_file") for gate in gates], chance)
            await asyncio.gather(*(gate.runs(1) for gate in gates))
            streams = [
                group.create_task(read_stream(fleet, mixed(chance, 20), server))
                for server in fleet.servers
            ]
            await asyncio.sleep(chance.uniform(0, 0.3))
            clocks.of[chance.choice(parts)].set(JUMPS[number // 2 % len(JUMPS)])
            await hang_and_end_in_time(fleet)
            # Whoever thought that leases have run out has said so by now.
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE_SECONDS))
            for gate in gates:
                gate.open()
        finals = await fleet.wait([*held, *(one["key"] for one in streams[0].result()[0])])
        assert {final["status"] for final in finals[: len(held)]} == {"success"}
        assert_dated_by_one_clock(finals)
        assert [await make_file(fleet, server) for server in fleet.servers] == first
        await until(partial(clocks.are_in_force, chance), END_SECONDS)
    await check(fleet, is_exact=True)
    assert set(await fleet.attempts(fleet.ledger.keys)) == {1}


async def hang_and_end_in_time(fleet: Fleet) -> None:
    """Neither sooner nor much later than after the two seconds that the task may take."""
    began = time.time()
    [final] = await fleet.wait(await fleet.submit([HANG]))
    assert "took longer than" in final["result"]
    assert time.time() - began >= 2
    assert fleet.pace.seconds(began) <= 2 + 5


async def make_file(fleet: Fleet, server: Part) -> str:
    """The key of the task that answers a request that is the same each time."""
    api = fleet.api(server)
    path = "/v1/create_file/x?task_name=site.write&text=word"
    answer = await api.ask("GET", path, headers=api.headers)
    assert answer.status == 302
    [control] = answer.headers.getall("Cache-Control")
    fresh_seconds = int(control.rpartition("max-age=")[2].partition(",")[0])
    assert REUSE_SECONDS / 2 < fresh_seconds <= REUSE_SECONDS
    location = answer.headers["Location"]
    async with fleet.session.get(location) as file:
        assert file.status == 200
        assert await file.text() == "word" * 1000
    key = location.split("/")[-2]
    fleet.ledger.acknowledge((await api.get(f"/v1/status?tasks={key}"))[1])
    return key


def assert_dated_by_one_clock(finals: list[Any]) -> None:
    """All in order, and by Valkey's clock, which is right, whatever those of others say."""
    for final in finals:
        dates = [final["events"][name] for name in ("queued", "started", "completed")]
        assert dates == sorted(dates)
        assert is_near(datetime.fromisoformat(dates[0]).timestamp(), time.time())
