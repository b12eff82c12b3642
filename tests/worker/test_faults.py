"""Servers, and everything at once, that are killed or told to leave."""

import asyncio

import psutil
import pytest

from tests.support.accounts import PATIENT
from tests.support.api import Api
from tests.support.faults import HEADERS, attempts, create, ends
from tests.support.gate import Gate
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import DEADLINE_SECONDS, eventually, until, wait_until
from tests.support.wire import next_line, read_lines


async def test_a_server_told_to_leave_ends_its_streams_on_a_whole_line(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.create_stream(gate.task()) as stream:
        [status] = await next_line(stream)
        await gate.runs(1)
        leaving = own.server()
        leaving.terminate()
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


@pytest.mark.parametrize("own", [PATIENT], indirect=True)
async def test_a_stream_whose_tasks_end_in_time_ends_well_though_the_server_leaves(
    own: Dragon, client: Api, gate: Gate
) -> None:
    async with client.create_stream(gate.task()) as stream:
        await gate.runs(1)
        own.server().terminate()
        retry_after = await until(lambda: refusal(client))
        assert int(retry_after or 0) >= 1
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"


@pytest.mark.lease(20)
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


def assert_all_end(family: list[psutil.Process]) -> None:
    wait_until(lambda: not any(map(is_alive, family)))


@pytest.mark.parametrize("is_busy", [False, True])
async def test_ctrl_c_ends_everything(own: Dragon, client: Api, gate: Gate, is_busy: bool) -> None:
    if is_busy:
        await create(client, gate.task(), {"task_name": "site.hold"})
        await gate.runs(1)
    family = own.family()
    assert len(family) >= 5
    own.process.send_signal(2)
    assert await asyncio.to_thread(own.process.wait, DEADLINE_SECONDS) == 0
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
