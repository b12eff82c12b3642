"""Cancelled tasks end at once: those that wait never run, those that run are stopped."""

from pathlib import Path
from typing import Any

import pytest

from dragon.store.store import Store
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.jobs import submission
from tests.support.paths import matching
from tests.support.processes import Dragon, is_alive
from tests.support.stores import counters
from tests.support.waiting import eventually
from tests.support.wire import next_line, read_lines


def heavy_gate(path: Path) -> dict[str, Any]:
    return {"task_name": "site.heavy_gate", "path": str(path)}


async def test_a_running_task_is_stopped_and_those_that_wait_never_run(
    api: Api, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("first", "second", "third")]
    async with api.create_stream(*map(heavy_gate, paths)) as stream:
        keys = [status["key"] for status in await next_line(stream)]
        await eventually(lambda: len(list(tmp_path.glob("*.started"))) == 2)
        status, statuses = await api.post("/v1/cancel", {"tasks": keys})
        lines = await read_lines(stream)
    assert status == 200
    assert [one["key"] for one in statuses] == keys
    for one in statuses:
        assert (one["status"], one["result"]) == ("error", "cancelled")
        assert "completed" in one["events"]
    assert ["started" in one["events"] for one in statuses] == [True, True, False]
    finals = [line for line in lines if line["status"] == "error"]
    assert sorted(line["key"] for line in finals) == sorted(keys)
    assert not list(tmp_path.glob("third.*.started"))


async def test_the_slots_of_cancelled_tasks_are_free_again(api: Api, tmp_path: Path) -> None:
    tasks = [heavy_gate(tmp_path / "gate")] * 2
    await api.post("/v1/cancel", {"tasks": await api.create(*tasks)})
    after = tmp_path / "after"
    after.touch()
    assert (await api.run(**heavy_gate(after)))["status"] == "success"


async def test_the_child_that_decodes_for_a_cancelled_task_is_killed(
    api: Api, dragon: Dragon
) -> None:
    async with api.create_stream({"task_name": "site.hold"}) as stream:
        [created] = await next_line(stream)
        while "progress" not in (status := await next_line(stream)):
            assert status["status"] == "executing"
    [child] = [one for one in dragon.decoders() if one.pid == status["progress"]]
    await api.post("/v1/cancel", {"tasks": created["key"]})
    await eventually(lambda: not is_alive(child))


async def test_a_task_that_has_ended_is_left_as_it_is(api: Api) -> None:
    done = await api.run(task_name="hello", name="John")
    assert await api.post("/v1/cancel", {"tasks": [done["key"]]}) == (200, [done])


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_tasks_of_others_are_as_unknown_as_those_that_do_not_exist(
    api: Api, tmp_path: Path, version: str
) -> None:
    path = tmp_path / "gate"
    _, [created] = await api.post("/v1/create", {"tasks": [heavy_gate(path)]})
    body = {"tasks": [created["key"]]}
    status, refused = await api.post(
        f"/{version}/cancel", body, Authorization="Secret other-secret"
    )
    assert status == 404
    unknown = await api.post(f"/{version}/cancel", {"tasks": ["A" * 26]})
    assert unknown[0] == 404
    assert refused["errors"][0]["description"] == unknown[1]["errors"][0]["description"].replace(
        "A" * 26, created["key"]
    )
    path.touch()
    _, [ended] = await api.get(f"/v1/status?tasks={created['key']}&block=true")
    assert ended["status"] == "success"


async def test_cancelling_asks_for_credentials(api: Api) -> None:
    answer = await api.ask("POST", "/v1/cancel", json={"tasks": ["A" * 26]})
    assert answer.status == 401


async def test_counters_and_queues_forget_cancelled_jobs(store: Store) -> None:
    request = submission(store, 3)
    await store.submit(request)
    [claimed] = (await store.claim("worker", {"fast": 1}, 0)).claims
    await store.cancel([job.key for job in request.jobs])
    assert not await store.finish(claimed, "success", b"{}", ())
    assert (await store.claim("worker", {"fast": 9}, 0)).claims == []
    base = store.keys.base(0)
    for name in ("queued", "running"):
        counts: Any = await store.client.hgetall(base + name)
        assert set(counts.values()) <= {b"0"}
    assert await store.client.zcard(base + "leases") == 0


async def test_many_jobs_are_cancelled_by_several_calls_none_of_which_takes_long(
    store: Store,
) -> None:
    request = submission(store, 1200)
    await store.submit(request)
    first, *others = (job.key for job in request.jobs)
    # The script itself travels with the first call.
    await store.cancel([first])
    await store.client.config_resetstat()
    await store.cancel(others)
    statistics: Any = await store.client.info("commandstats")
    assert statistics["cmdstat_evalsha"]["calls"] == 3
    assert await counters(store) == {}


async def test_of_a_cancelled_task_no_file_is_left(api: Api, dragon: Dragon, gate: Gate) -> None:
    _, [queued] = await api.post("/v2/create", {"tasks": gate.task("site.partial")})
    await gate.runs(1)
    pattern = f"files/acme/*/{queued['key']}"
    assert list(dragon.data.glob(pattern))
    await api.post("/v2/cancel", {"tasks": queued["key"]})
    await eventually(lambda: not matching(dragon.data, pattern))
