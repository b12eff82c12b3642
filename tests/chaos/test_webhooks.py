"""Web hooks to receivers that fail in every way, and to addresses that must not be reached."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

from tests.chaos.check import check
from tests.chaos.harness import END_SECONDS, Definition, Fleet
from tests.chaos.test_crashes import has_two_workers
from tests.network.test_fetch_addresses import LOOPBACK
from tests.support.accounts import WEBHOOK_SECRETS, WEBHOOK_TRIES
from tests.support.fetching import Canary, serving
from tests.support.hooking import outcomes, settled
from tests.support.processes import START_SECONDS, is_alive
from tests.support.receivers import Hit
from tests.support.waiting import eventually

FAULTS = ("500", "timeout", "reset", "redirect", "429", "410", "half", "noise")


class Chaos:
    """Does with the requests of each task what was planned for it, then answers 204."""

    def __init__(self, canary: Canary) -> None:
        self.url = ""
        self.plans: dict[str, list[str]] = {}
        self.hits: defaultdict[str, list[Hit]] = defaultdict(list)
        self._canary = canary

    async def answer(self, request: web.Request) -> web.StreamResponse:
        number = request.query["number"]
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.method == "POST"
        self.hits[number].append(Hit(headers, await request.read()))
        plan = self.plans[number]
        return await self._do(plan.pop(0) if plan else "204", request)

    async def _do(self, fault: str, request: web.Request) -> web.StreamResponse:
        if fault.isdecimal():
            return web.Response(status=int(fault), headers={"Retry-After": "0"})
        if fault == "redirect":
            to = f"http://127.0.0.1:{self._canary.port}/"
            return web.Response(status=307, headers={"Location": to})
        assert request.transport
        if fault == "timeout":
            # It is given up meanwhile.
            await asyncio.sleep(60)
        if fault == "half":
            request.transport.write(b"HTTP/1.1 204 No")
        if fault == "noise":
            request.transport.write(b"\x00\xff" * 100)
        request.transport.close() if fault != "reset" else request.transport.abort()
        return web.Response()


@asynccontextmanager
async def chaos_at(canary: Canary) -> AsyncIterator[Chaos]:
    chaos = Chaos(canary)
    async with serving(chaos.answer) as url:
        chaos.url = url
        yield chaos


def definition(chance: random.Random, url: str) -> Definition:
    tasks: Sequence[Definition] = (
        {"task_name": "hello", "name": "you"},
        {"task_name": "site.fail"},
        {"task_name": "hello", "name": 7},
        {"task_name": "site.steps", "steps": 3},
    )
    return {**chance.choice(tasks), "url_callback": url, "url_errback": url}


@pytest_asyncio.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Receivers are given up late: few because the machine held them up."""
    async with Fleet(tmp_path, DRAGON_WEBHOOK_TIMEOUT_SECONDS="4") as fleet:
        yield fleet


@pytest.mark.chaos(ci=20, long=200)
async def test_p27_web_hooks_are_told_at_least_once_signed_and_bounded(
    patient: Fleet, chance: random.Random, canary: Canary, n: int
) -> None:
    """So many of which nothing comes but what was planned."""
    judged = 0
    async with chaos_at(canary) as chaos, asyncio.timeout(END_SECONDS):
        while judged < n:
            judged += await tell(patient, chaos, chance, n - judged)
    assert not canary.was_touched
    await check(patient, is_exact=True)


async def tell(fleet: Fleet, chaos: Chaos, chance: random.Random, count: int) -> int:
    """How many of so many web hooks were judged by their plans."""
    first = len(chaos.plans)
    plans = {
        str(number): chance.choices(FAULTS, k=chance.randint(0, WEBHOOK_TRIES))
        for number in range(first, first + count)
    }
    chaos.plans |= {number: list(plan) for number, plan in plans.items()}
    tasks = [definition(chance, f"{chaos.url}/?number={number}") for number in plans]
    keys = await fleet.submit(tasks, chance)
    statuses = {final["key"]: final for final in await fleet.wait(keys)}
    judged = 0
    for key, (number, plan) in zip(keys, plans.items(), strict=True):
        delivery = await settled(fleet.api(), key)
        hits = chaos.hits[number]
        assert_sound(delivery, hits)
        if gave_up(delivery) > plan.count("timeout"):
            # The machine held the receiver up: nobody planned what came of that.
            continue
        judged += 1
        taken = "410" not in plan and len(plan) < WEBHOOK_TRIES
        assert delivery["state"] == ("delivered" if taken else "failed"), (plan, delivery)
        wanted = plan.index("410") + 1 if "410" in plan else min(len(plan) + 1, WEBHOOK_TRIES)
        assert len(hits) == wanted
        assert await told_in_second_version(fleet, key) == hits[0].body
        assert statuses[key] == await told_in_first_version(fleet, key)
    return judged


@pytest.mark.chaos(ci=2, long=40)
async def test_p27_web_hooks_survive_killed_workers(
    short_leased: Fleet, chance: random.Random, canary: Canary, n: int
) -> None:
    fleet = short_leased
    supervisor = asyncio.create_task(fleet.replace_lost_workers())
    async with chaos_at(canary) as chaos:
        keys: list[str] = []
        for round_ in range(n):
            numbers = [f"{round_}-{place}" for place in range(5)]
            chaos.plans |= {number: chance.choices(["204", "timeout"]) for number in numbers}
            tasks = [definition(chance, f"{chaos.url}/?number={number}") for number in numbers]
            poison = {"task_name": "site.kill_worker", "url_errback": tasks[0]["url_errback"]}
            keys = await fleet.submit([*tasks, poison], chance)
            await asyncio.sleep(chance.uniform(0, 1))
            await kill_a_worker(fleet)
            await fleet.wait(keys)
            # What is told is told by workers.
            await eventually(partial(has_two_workers, fleet), 2 * START_SECONDS)
            for key in keys:
                delivery = await settled(fleet.api(), key)
                number = delivery["url"].partition("number=")[2]
                hits = [hit for hit in chaos.hits[number] if hit.id == delivery["id"]]
                assert_sound(delivery, hits)
                if delivery["state"] == "delivered":
                    assert hits
                else:
                    assert len(delivery["attempts"]) == WEBHOOK_TRIES
    supervisor.cancel()
    await asyncio.wait([supervisor])
    assert supervisor.cancelled()
    await check(fleet, is_exact=True)


async def kill_a_worker(fleet: Fleet) -> None:
    """One that lives: poison may have been faster."""
    await eventually(
        lambda: any(is_alive(worker.process) for worker in fleet.workers), 2 * START_SECONDS
    )
    with suppress(StopIteration, psutil.NoSuchProcess):
        next(one for one in fleet.workers if is_alive(one.process)).process.kill()


def assert_sound(delivery: dict[str, Any], hits: Sequence[Hit]) -> None:
    """One id and one body, each signed by all secrets; no more tries than there may be."""
    assert {hit.id for hit in hits} <= {delivery["id"]}
    assert len({hit.body for hit in hits}) <= 1
    for hit in hits:
        for secret in WEBHOOK_SECRETS:
            told = Webhook(secret).verify(hit.body, hit.headers)
            assert (told["key"], told["status"]) == (delivery["task"], delivery["event"])
    assert len(hits) <= WEBHOOK_TRIES
    assert len(delivery["attempts"]) <= WEBHOOK_TRIES


def gave_up(delivery: dict[str, Any]) -> int:
    """How many attempts were told nothing in time."""
    return sum("no answer within" in str(outcome) for outcome in outcomes(delivery))


async def told_in_second_version(fleet: Fleet, key: str) -> bytes:
    answer = await fleet.api().ask("GET", f"/v2/status?tasks={key}")
    return answer.body.removeprefix(b"[").removesuffix(b"]")


async def told_in_first_version(fleet: Fleet, key: str) -> Any:
    [final] = (await fleet.api().ask("GET", f"/v1/status?tasks={key}")).json
    return final


@pytest.mark.chaos(ci=1, long=10)
async def test_p30_no_web_hook_reaches_an_address_that_is_not_public(
    tmp_path: Path, canary: Canary, n: int
) -> None:
    ports = {"DRAGON_FETCH_ALLOW": "", "DRAGON_FETCH_PORTS": str(canary.port)}
    async with Fleet(tmp_path, servers=1, workers=1, **ports) as fleet:
        for _ in range(n):
            urls = [f"http://{host}:{canary.port}/hook?a=b" for host in LOOPBACK]
            urls += [url.replace("http:", "https:") for url in urls]
            tasks: list[Definition] = []
            for url in urls:
                tasks.append({"task_name": "hello", "name": "you", "url_callback": url})
                tasks.append({"task_name": "hello", "name": 7, "url_errback": url})
            keys = await fleet.submit(tasks)
            assert {one["status"] for one in await fleet.wait(keys)} == {"success", "error"}
            for key in keys:
                delivery = await settled(fleet.api(), key)
                assert delivery["state"] == "failed"
                assert not [one for one in outcomes(delivery) if isinstance(one, int)]
        assert not canary.was_touched
        await check(fleet, is_exact=True)
