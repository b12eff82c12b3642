"""Jobs that run others as their children, with real workers that are killed and told to stop."""

import asyncio
from pathlib import Path
from typing import Any

import psutil

from dragon.schemas import decode_job
from dragon.store.store import Store
from tests.support.accounts import CONFIG
from tests.support.api import Api, api_of
from tests.support.faults import attempts, create, ends
from tests.support.gate import Gate
from tests.support.paths import matching
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.wire import next_line, read_lines

HELLO = {"task_name": "hello", "name": "John"}


def parent(*children: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    return {"task_name": "site.parent", "children": list(children), **parameters}


def text(words: str) -> dict[str, Any]:
    return {"task_name": "site.text", "text": words}


async def family(own: Dragon, key: str) -> list[str]:
    """The keys of a job's children while it runs."""
    async with Store(own.settings()) as store:
        name = f"{store.keys.base(store.keys.shard_of(key))}children:{key}"
        members: Any = await store.client.smembers(name)
        return [member.decode() for member in members]


async def until_family(own: Dragon, key: str, count: int) -> list[str]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(found := await family(own, key)) < count:
            await asyncio.sleep(0.02)
        return found


async def test_a_parent_gets_what_its_children_made(api: Api) -> None:
    final = await api.run(**parent(HELLO, text("one"), text("two")))
    assert final["status"] == "success", final
    hello, one, two = final["result"]
    assert hello == {"key": hello["key"], "value": "Hello John", "files": {}}
    file = one["files"]["output"]
    assert (file["filename"], file["content_type"], file["size"]) == ("output.txt", "text/plain", 3)
    async with api.session.get(two["value"]["output"]) as response:
        assert await response.text() == "two"
    assert len({hello["key"], one["key"], two["key"], final["key"]}) == 4
    used = await api.run(task_name="site.path", url=file["url"])
    assert Path(used["result"]).read_text() == "one"


async def test_children_are_their_parents_in_all_that_clients_see(api: Api, dragon: Dragon) -> None:
    definition = parent(text("one"), parent(text("two"))) | {"task_store": {"type": "volatile"}}
    body = {"tasks": definition, "block": True}
    headers = {"Authorization": "Secret other-secret", "Host": "media.example.com"}
    _, [final] = await api.post("/v1/create", body, **headers)
    one, middle = final["result"]
    keys = [final["key"], one["key"], middle["key"], middle["value"][0]["key"]]
    assert one["value"]["output"].startswith("http://media.example.com/files/")
    async with Store(dragon.settings()) as store:
        jobs = [decode_job(blob) for blob in await store.read_jobs(keys) if blob]
    assert {(job.account, job.base_url, job.retention_seconds) for job in jobs} == {
        ("other", "http://media.example.com", 7 * 86_400)
    }
    assert [job.depth for job in jobs] == [0, 1, 1, 2]


async def test_a_parent_tells_how_far_its_children_are(api: Api, gate: Gate) -> None:
    children = [gate.task("site.told_gate") | {"progress": number} for number in (5, 7)]
    async with api.create_stream(parent(*children)) as stream:
        await next_line(stream)
        while (await next_line(stream)).get("progress") != {"0": 5, "1": 7}:
            pass
        gate.open()
        *_, last = await read_lines(stream)
    assert last["status"] == "success"


async def test_a_parent_fails_in_its_childs_words_and_its_other_children_end(
    api: Api, dragon: Dragon, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    [key] = await create(api, parent(gate.task(), gate.task(), HELLO, in_turn=True))
    [first] = await until_family(dragon, key, 1)
    await gate.runs(1)
    failing = {"task_name": "site.gated_failure", "path": str(tmp_path / "failing")}
    [other] = await create(api, parent(gate.task(), failing))
    children = await until_family(dragon, other, 2)
    await gate.runs(2)
    (tmp_path / "failing").touch()
    [final] = await ends(api, [other])
    assert (final["status"], final["result"]) == ("error", "it cannot be done")
    finals = await ends(api, children)
    assert sorted(one["result"] for one in finals) == ["cancelled", "it cannot be done"]
    [waiting] = (await api.post("/v1/status", {"tasks": first}))[1]
    assert waiting["status"] == "executing"
    await api.post("/v1/cancel", {"tasks": key})


async def test_what_a_child_would_not_take_is_told(api: Api) -> None:
    final = await api.run(**parent({"task_name": "hello", "nam": 1}))
    assert final["result"].startswith("hello: name: this field is required; nam: this parameter")
    final = await api.run(**parent({"task_name": "nothing"}))
    assert final["result"] == "the task 'nothing' is unknown"


async def test_only_tasks_that_cost_no_slot_run_others(api: Api, dragon: Dragon) -> None:
    final = await api.run(task_name="site.fast_parent", children=[HELLO])
    assert final["result"] == "the task failed because of an internal error"
    [bug] = [bug for bug in dragon.events("run_bug") if bug["key"] == final["key"]]
    assert "site.fast_parent is of class fast: only those of flow run others" in bug["exception"]


async def test_families_have_three_generations(api: Api) -> None:
    assert (await api.run(**parent(parent(HELLO))))["status"] == "success"
    final = await api.run(**parent(parent(parent(HELLO))))
    assert final["result"] == "tasks run tasks 2 levels deep at most"


async def test_parents_wait_for_parents_in_one_slot(tmp_path: Path) -> None:
    config = CONFIG.replace("[[accounts]]", "[slots]\nflow = 1\nfast = 1\n[[accounts]]", 1)
    with Dragon(tmp_path / "d", config=config) as own:
        async with api_of(own.url) as client:
            keys = await create(client, *[parent(parent(HELLO), parent(text("x")))] * 8)
            finals = await ends(client, keys)
    assert {final["status"] for final in finals} == {"success"}


async def test_an_account_that_may_run_one_task_may_run_a_family(api: Api) -> None:
    body = {"tasks": [parent(HELLO, HELLO, parent(HELLO))] * 3, "block": True}
    _, finals = await api.post("/v1/create", body, Authorization="Secret one-secret")
    assert [final["status"] for final in finals] == ["success"] * 3


async def test_more_children_than_an_account_may_have_queued_are_refused(
    api: Api, tmp_path: Path
) -> None:
    gates = [
        {"task_name": "site.heavy_gate", "path": str(tmp_path / str(place))} for place in range(9)
    ]
    body = {"tasks": parent(*gates), "block": True}
    _, [final] = await api.post("/v1/create", body, Authorization="Secret few-secret")
    assert final["result"] == (
        "site.heavy_gate could not be queued: this account may have 5 tasks queued, "
        "and 1 more would be over that: try again later"
    )


async def test_a_family_counts_as_one_task_a_minute(api: Api) -> None:
    body = {"tasks": parent(*[HELLO] * 9), "block": True}
    _, [final] = await api.post("/v1/create", body, Authorization="Secret family-secret")
    assert final["status"] == "success"


async def test_a_parent_that_runs_again_finds_the_children_that_it_had(
    own: Dragon, client: Api, tmp_path: Path
) -> None:
    done, open_ = Gate(tmp_path / "done"), Gate(tmp_path / "open")
    done.open()
    [key] = await create(client, parent(done.task(), open_.task()))
    await open_.runs(1)
    children = await until_family(own, key, 2)
    await ends(client, [await _ended(client, children)])
    own.worker().kill()
    await open_.runs(2)
    open_.open()
    [final] = await ends(client, [key])
    assert final["status"] == "success"
    assert {child["key"] for child in final["result"]} == set(children)
    await done.runs(1)
    assert await attempts(own, [key]) == [2]
    assert sorted(await attempts(own, children)) == [1, 2]


async def _ended(client: Api, keys: list[str]) -> str:
    """The first of these that has ended."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            _, statuses = await client.post("/v1/status", {"tasks": keys})
            for status in statuses:
                if status["status"] == "success":
                    return str(status["key"])


async def test_a_cancelled_parent_takes_all_its_family_along(
    dragon: Dragon, api: Api, gate: Gate
) -> None:
    [key] = await create(api, parent(gate.task(), parent(gate.task())))
    await gate.runs(2)
    children = await until_family(dragon, key, 2)
    grandchildren = [one for child in children for one in await family(dragon, child)]
    assert len(grandchildren) == 1
    await api.post("/v1/cancel", {"tasks": key})
    keys = sorted([key, *children, *grandchildren])
    finals = await ends(api, keys)
    assert [final["result"] for final in finals] == ["cancelled"] * 4

    def cancelled() -> list[str]:
        return sorted(one["key"] for one in dragon.events("job_cancelled") if one["key"] in keys)

    await eventually(lambda: cancelled() == keys)


async def test_a_family_is_cancelled_also_when_the_parents_worker_is_gone(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await create(client, parent(gate.task(), parent(gate.task())))
    await gate.runs(2)
    children = await until_family(own, key, 2)
    supervisor, killed = psutil.Process(own.process.pid), own.worker()
    supervisor.suspend()
    killed.kill()
    await client.post("/v1/cancel", {"tasks": key})
    finals = await ends(client, [key, *children])
    assert [final["result"] for final in finals] == ["cancelled"] * 3
    supervisor.resume()


async def test_a_worker_that_leaves_hands_a_parent_back_and_the_family_goes_on(
    own: Dragon, client: Api, gate: Gate
) -> None:
    [key] = await create(client, parent(gate.task()))
    await gate.runs(1)
    children = await until_family(own, key, 1)
    own.worker().terminate()
    await gate.runs(2)
    gate.open()
    [final] = await ends(client, [key])
    assert [child["key"] for child in final["result"]] == children
    assert await attempts(own, [key, *children]) == [1, 1]


async def _partial(client: Api, key: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            _, [status] = await client.post("/v1/status", {"tasks": key})
            if "result" in status:
                return dict(status)
            await asyncio.sleep(0.02)


async def _read(client: Api, url: str) -> str:
    async with client.session.get(url) as response:
        assert response.status == 200
        return await response.text()


async def test_a_partial_result_is_told_and_its_files_are_served(api: Api, gate: Gate) -> None:
    await check_partial_result(api, gate)


async def test_a_partial_result_of_a_killed_worker_is_made_anew(
    own: Dragon, client: Api, gate: Gate
) -> None:
    await check_partial_result(client, gate, own.worker())


async def check_partial_result(
    client: Api, gate: Gate, killed: psutil.Process | None = None
) -> None:
    [key] = await create(client, gate.task("site.partial"))
    status = await _partial(client, key)
    assert (status["status"], status["progress"]) == ("executing", "begun")
    url = status["result"].pop("first")
    assert status["result"] == {}
    async with client.session.get(url) as response:
        assert await response.text() == "first of run 0"
        assert response.headers["Cache-Control"] == "no-cache"
    await gate.runs(1)
    if killed:
        killed.kill()
        await gate.runs(2)
    gate.open()
    [final] = await ends(client, [key])
    run = 1 if killed else 0
    assert (final["status"], final["result"]["runs"]) == ("success", run)
    assert "progress" not in final
    assert await _read(client, final["result"]["first"]) == f"first of run {run}"
    assert await _read(client, final["result"]["second"]) == "second"


async def test_of_a_partial_result_nothing_is_left_where_the_task_fails(
    dragon: Dragon, api: Api
) -> None:
    ended = await api.run(task_name="site.broken_off")
    assert ended["result"] == "it broke off"
    pattern = f"files/*/*/{ended['key']}/*/*"
    await eventually(lambda: not matching(dragon.data, pattern))
    status, _ = await api.get(f"/files/{ended['key']}/first.txt")
    assert status == 404
