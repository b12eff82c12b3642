"""Processes killed, stopped and told to leave, while they work: real ones, with real signals."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio

from dragon.store.store import Store
from tests.conftest import Api
from tests.support import (
    SECRET,
    Dragon,
    Part,
    eventually,
    is_alive,
    read_lines,
    until,
    wait_until,
)

HEADERS = {"Authorization": f"Secret {SECRET}"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Dragon]:
    """A Dragon of the test's own, whose processes it may kill."""
    with Dragon(tmp_path / "d") as own:
        yield own


@pytest_asyncio.fixture
async def client(own: Dragon) -> AsyncIterator[Api]:
    timeout = aiohttp.ClientTimeout(total=30)
    # Each request has a connection of its own: after a kill the old ones are dead.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Api(session, own.url)


class Gate:
    """Where tasks wait until the test lets them go."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def task(self, name: str = "site.gate") -> dict[str, Any]:
        return {"task_name": name, "path": str(self.path)}

    async def runs(self, count: int) -> None:
        """Wait until so many runs have come to it."""
        await eventually(lambda: self._count() >= count)
        assert self._count() == count

    def open(self) -> None:
        self.path.touch()

    def _count(self) -> int:
        return len(list(self.path.parent.glob(self.path.name + ".*.started")))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


async def create(client: Api, *definitions: Any) -> list[str]:
    """The keys of tasks that were acknowledged."""
    status, statuses = await client.post("/v1/create", {"tasks": definitions})
    assert status == 200
    return [status["key"] for status in statuses]


async def ends(client: Api, keys: list[str]) -> list[dict[str, Any]]:
    """The final statuses, asked for again and again while a server or Valkey is away."""

    async def ask() -> list[dict[str, Any]] | None:
        try:
            status, statuses = await client.post("/v1/status", {"tasks": keys})
        except aiohttp.ClientError:
            return None
        if status == 503:
            return None
        assert status == 200
        finals = [final for final in statuses if final["status"] in ("success", "error")]
        return finals if len(finals) == len(keys) else None

    finals = await until(ask)
    assert finals is not None
    return finals


async def attempts(own: Dragon, keys: list[str]) -> list[int]:
    async with Store(own.settings()) as store:
        counts: Any = [await store.client.hget(store.keys.job(key), "attempt") for key in keys]
        return [int(count) for count in counts]


def second_worker(own: Dragon) -> Part:
    return Part(own.data, "worker", "--redis", own.settings().redis)


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
        assert [event["key"] for event in other.events("job_ran")] == keys
        supervisor.resume()
    assert await attempts(own, keys) == [2]


async def test_a_killed_workers_task_ends_after_the_restart(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), gate.task())
    await gate.runs(2)
    killed = own.worker()
    killed.kill()
    began = time.monotonic()
    await gate.runs(4)
    # Promised is the end of the lease and five seconds; here the machine may be busy.
    assert time.monotonic() - began < 15
    gate.open()
    assert [final["status"] for final in await ends(client, keys)] == ["success", "success"]
    assert await attempts(own, keys) == [2, 2]
    assert own.worker().pid != killed.pid
    assert len(list((own.data / "work").iterdir())) == 1


async def test_a_task_whose_worker_dies_each_time_ends_as_an_error_and_others_do_not(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task())
    for attempt in range(1, 4):
        await gate.runs(attempt)
        assert (await client.run(task_name="hello", name="you"))["status"] == "success"
        own.worker().kill()
    [final] = await ends(client, keys)
    assert final["status"] == "error"
    assert final["result"] == "the worker was lost while it ran the task, 3 times"
    assert (await client.run(task_name="hello", name="you"))["status"] == "success"


async def test_a_killed_decoder_hits_its_task_alone(own: Dragon, client: Api, gate: Gate) -> None:
    before = {decoder.pid: decoder.cpu_times().user for decoder in own.decoders()}
    keys = await create(client, gate.task(), *len(before) * [{"task_name": "site.spin"}])
    decoders = own.decoders()
    await eventually(lambda: all(one.cpu_times().user - before[one.pid] > 0.1 for one in decoders))
    decoders[0].kill()
    gate.open()
    finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    assert sorted(await attempts(own, keys)) == [*len(before) * [1], 2]
    assert all(is_alive(one) for one in decoders[1:])


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


async def test_a_server_told_to_leave_ends_its_streams_on_a_whole_line(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.session.post(
        own.url + "/v1/create_stream", json={"tasks": [gate.task()]}, headers=HEADERS
    ) as stream:
        [status] = json.loads(await stream.content.readline())
        await gate.runs(1)
        leaving = own.server()
        leaving.terminate()
        retry_after = await until(lambda: refusal(client))
        assert int(retry_after or 0) >= 1
        *_, last = await read_lines(stream)
    assert last == {
        "status": "error",
        "message": "this server is restarting, ask again for the status of your tasks",
    }
    await eventually(lambda: not is_alive(leaving))
    gate.open()
    [final] = await ends(client, [status["key"]])
    assert final["status"] == "success"
    assert [event["code"] for event in own.events("process_died")] == [0]


async def refusal(client: Api) -> str | None:
    """The Retry-After of a server that takes no new tasks; None while it still does."""
    body = {"tasks": {"task_name": "hello", "name": "you"}}
    async with client.session.post(
        client.url + "/v1/create", json=body, headers=HEADERS
    ) as response:
        answer = await response.json()
        if response.status == 200:
            return None
        assert response.status == 503
        assert (answer["status"], "message" in answer) == ("error", True)
        return response.headers["Retry-After"]


async def test_a_stream_whose_tasks_end_in_time_ends_well_though_the_server_leaves(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.session.post(
        own.url + "/v1/create_stream", json={"tasks": [gate.task()]}, headers=HEADERS
    ) as stream:
        await gate.runs(1)
        own.server().terminate()
        await until(lambda: refusal(client))
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"


async def test_a_killed_server_does_not_hold_up_its_tasks(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), {"task_name": "site.steps", "steps": 3})
    await gate.runs(1)
    killed = own.server()
    killed.kill()
    await eventually(lambda: not is_alive(killed))

    async def is_readable() -> bool:
        status, [first, _] = await client.post("/v1/status", {"tasks": keys})
        assert (status, first["status"]) == (200, "executing")
        return True

    assert await until(is_readable)
    gate.open()
    assert [final["status"] for final in await ends(client, keys)] == ["success", "success"]
    assert await attempts(own, keys) == [1, 1]


async def test_a_valkey_that_stands_still_is_told_at_once(own: Dragon, client: Api) -> None:
    valkey = own.valkey()
    valkey.suspend()
    try:
        async with asyncio.TaskGroup() as group:
            answers = []
            for _ in range(5):
                answers.append(group.create_task(timed_refusal(client)))
                # The next arrive while the first still wait.
                await asyncio.sleep(0.7)
            ready = group.create_task(client.get("/health/ready"))
        for answer in answers:
            retry_after, took_seconds = answer.result()
            assert int(retry_after) >= 1
            assert took_seconds < 6
        status, health = ready.result()
        assert status == 503
        assert "the store cannot be reached, try again soon" in health["problems"]
    finally:
        valkey.resume()

    async def is_ready() -> bool:
        status, _ = await client.get("/health/ready")
        return status == 200

    assert await until(is_ready)
    assert (await client.run(task_name="hello", name="you"))["result"] == "Hello you"


async def timed_refusal(client: Api) -> tuple[str, float]:
    began = time.monotonic()
    retry_after = await refusal(client)
    assert retry_after is not None
    return retry_after, time.monotonic() - began


async def test_a_running_task_outlives_a_valkey_that_stands_still(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await create(client, gate.task())
    await gate.runs(1)
    valkey = own.valkey()
    valkey.suspend()
    gate.open()
    await eventually(lambda: own.events("write_waits_for_store") or own.events("renew_failed"))
    valkey.resume()
    [final] = await ends(client, [key])
    assert final["status"] == "success"


async def test_a_killed_valkey_forgets_nothing_that_was_acknowledged(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), *200 * [{"task_name": "site.steps", "steps": 2}])
    await gate.runs(1)
    killed = own.valkey()
    killed.kill()
    await eventually(lambda: not is_alive(killed))
    gate.open()
    finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}
    assert own.valkey().pid != killed.pid


async def test_a_stream_goes_on_when_valkey_was_killed(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.session.post(
        own.url + "/v1/create_stream", json={"tasks": [gate.task()]}, headers=HEADERS
    ) as stream:
        await gate.runs(1)
        killed = own.valkey()
        killed.kill()
        await eventually(lambda: not is_alive(killed))
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"


def assert_all_end(family: list[psutil.Process]) -> None:
    wait_until(lambda: not [one for one in family if is_alive(one)], 5)


@pytest.mark.parametrize("is_busy", [False, True])
async def test_ctrl_c_ends_everything(own: Dragon, client: Api, gate: Gate, is_busy: bool) -> None:
    if is_busy:
        await create(client, gate.task(), {"task_name": "site.hold"})
        await gate.runs(1)
    family = own.family()
    assert len(family) >= 5
    own.process.send_signal(2)
    assert await asyncio.to_thread(own.process.wait, 15) == 0
    assert_all_end(family)
    assert not (own.data / "running.json").exists()


async def test_a_killed_supervisor_leaves_no_process(own: Dragon, client: Api, gate: Gate) -> None:
    await create(client, gate.task(), {"task_name": "site.hold"})
    await gate.runs(1)
    family = own.family()
    assert len(family) >= 5
    own.process.kill()
    own.process.wait()
    assert_all_end(family)


async def test_after_the_end_of_everything_tasks_go_on_at_the_next_start(
    own: Dragon, client: Api, gate: Gate
) -> None:
    keys = await create(client, gate.task(), {"task_name": "site.fail"})
    await gate.runs(1)
    own.process.kill()
    own.process.wait()
    gate.open()
    with Dragon(own.data) as again:
        client.url = again.url
        assert [final["status"] for final in await ends(client, keys)] == ["success", "error"]
