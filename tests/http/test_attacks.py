"""What attackers tried once, and must not get again."""

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dragon.settings import Limits
from dragon.store.store import Store
from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.jobs import submission
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS, undisturbed, until


async def ask_in_time(api: Api, path: str, body: bytes, **headers: str) -> int:
    """The status of an answer that must come soon: these bodies once took minutes."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return (
            await api.ask("POST", path, data=io.BytesIO(body), headers=api.headers | headers)
        ).status


async def test_a_double_key_among_many_is_found_at_once(api: Api) -> None:
    pairs = ",".join(f'"k{number}":0' for number in range(150_000))
    assert await ask_in_time(api, "/v1/status", f'{{{pairs},"z":1,"z":2}}'.encode()) == 400


async def test_addresses_that_almost_match_are_refused_at_once(api: Api) -> None:
    task = {"task_name": "image.info", "url": "http://" + "a" * 8180 + "\n"}
    body = json.dumps({"tasks": [task] * 300}).encode()
    assert await ask_in_time(api, "/v1/create", body) == 200


async def test_a_long_header_that_decides_about_many_formats_is_read_at_once(api: Api) -> None:
    many = [{"type": "format", "format": "auto"}] * 100_000
    task = {"task_name": "image.convert", "url": "http://a.invalid/", "operations": many}
    body = json.dumps({"task": task}).encode()
    assert await ask_in_time(api, "/v2/create_file", body, Accept="a," * 4000) == 400


@pytest.mark.parametrize(("path", "name"), [("create", "tasks"), ("create_file", "task")])
async def test_who_waits_for_a_task_holds_little_of_what_was_asked_for(
    dragon: Dragon, api: Api, gate: Gate, path: str, name: str
) -> None:
    """A million values in a request of 4 MB take 80 MB while it is read, and where it is run."""
    task = json.dumps({**gate.task(), "task_metas": None})
    metas = "[" + ",".join(["[]"] * 1_200_000) + "]"
    more = ', "block": true' if path == "create" else ""
    body = f'{{"{name}": {task.replace("null", metas)}{more}}}'.encode()
    waiting, sizes = [], []
    for number in range(1, 6):
        asking = api.ask("POST", f"/v2/{path}", data=io.BytesIO(body), headers=api.headers)
        waiting.append(asyncio.create_task(asking))
        await gate.runs(number)
        sizes.append(sum(memory_bytes(dragon)))
    gate.open()
    await asyncio.gather(*waiting)
    # The first leaves behind what the others then use.
    assert sizes[-1] - sizes[0] < 200_000_000, sizes


def memory_bytes(dragon: Dragon) -> list[int]:
    """Of the server and the worker."""
    return [process.memory_info().rss for process in (dragon.server(), dragon.worker())]


async def test_a_path_full_of_addresses_is_logged_at_once(api: Api) -> None:
    path = "/" + "http://" * 1000 + "%27%3F"
    assert await ask_in_time(api, path, b"{}") == 404


async def test_a_parked_job_takes_the_room_of_one_that_was_cancelled(store: Store) -> None:
    request = submission(store, 3, limits=Limits(running=1))
    keys = [job.key for job in request.jobs]
    await store.submit(request)
    [first] = (await store.claim("worker", {"fast": 3}, 0)).claims
    assert first.job.key == keys[0]
    await store.cancel(keys[:2])
    [last] = (await store.claim("worker", {"fast": 3}, 0)).claims
    assert last.job.key == keys[2]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon with little patience and small answers."""
    data = tmp_path_factory.mktemp("strict")
    patience = {"DRAGON_WRITE_TIMEOUT_SECONDS": "1", "DRAGON_MAX_ANSWER_BYTES": "100000"}
    with Dragon(data, **patience) as dragon:
        yield dragon


@pytest.mark.parametrize("sent", [b"", b"GET /v1/status HTTP/1.1\r\nHost: a\r\n"])
async def test_a_connection_that_asks_for_nothing_is_closed(strict: Dragon, sent: bytes) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await reader.read()
    writer.close()


async def test_a_connection_that_asks_now_and_then_is_kept(strict: Dragon) -> None:
    # A hold-up before it asks for the first time makes of it one that asks for nothing.
    await undisturbed(lambda: ask_now_and_then(strict))


async def ask_now_and_then(strict: Dragon) -> None:
    host, port = strict.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    silent = await asyncio.open_connection(host, int(port))
    asking = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
    writer.write(asking)
    assert b"200 OK" in await reader.readline()
    # By the time the silent one is closed, this one has been quiet for as long.
    async with asyncio.timeout(DEADLINE_SECONDS):
        await silent[0].read()
    silent[1].close()
    writer.write(asking)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while b"200 OK" not in await reader.readline():
            assert not reader.at_eof()
    writer.close()


async def test_many_large_statuses_are_not_gathered_in_one_answer(strict: Dragon) -> None:
    headers = {"Authorization": f"Secret {SECRET}"}
    task = {"task_name": "hello", "name": "x" * 60_000}
    async with aiohttp.ClientSession(strict.url, headers=headers) as session:

        async def post(path: str, body: Any) -> tuple[int, Any]:
            async with session.post(path, json=body) as response:
                return response.status, await response.json()

        _, [status] = await post("/v1/create", {"tasks": task, "block": True})
        keys = {"tasks": [status["key"]]}
        assert (await post("/v1/status", keys))[0] == 200
        code, refused = await post("/v1/status", {"tasks": keys["tasks"] * 2})
    assert code == 400
    assert "max_answer_bytes" in refused["errors"][0]["description"]


async def test_a_large_result_that_is_waited_for_is_not_repeated_in_one_answer(
    strict: Dragon, gate: Gate
) -> None:
    async with aiohttp.ClientSession() as session:
        api = Api(session, strict.url)

        async def is_waited_for() -> bool:
            return b"\ndragon_open_streams 1.0\n" in (await api.ask("GET", "/metrics")).body

        _, [queued] = await api.post("/v1/create", {"tasks": gate.task()})
        body = {"tasks": [queued["key"]] * 2, "block": True}
        waiting = asyncio.create_task(api.post("/v1/status", body))
        assert await until(is_waited_for)
        result = gate.path.with_name("result")
        result.write_text("x" * 60_000)
        result.rename(gate.path)
        status, refused = await waiting
    [problem] = refused["errors"]
    assert (status, problem["name"], problem["location"]) == (400, "tasks", "body")
    assert "max_answer_bytes" in problem["description"]


async def test_who_creates_tasks_of_large_results_learns_their_keys(
    strict: Dragon, gate: Gate
) -> None:
    """At once: what one answer cannot hold is not gathered until the last has ended."""
    large = [{"task_name": "hello", "name": "x" * 60_000}] * 2
    async with aiohttp.ClientSession() as session:
        api = Api(session, strict.url)
        body = {"tasks": [*large, gate.task()], "block": True}
        code, first = await api.post("/v1/create", body)
        assert (code, [status["status"] for status in first]) == (200, ["queued"] * 3)
        gate.open()
        for status in first:
            body = {"tasks": status["key"], "block": True}
            _, [ended] = await api.post("/v1/status", body)
            assert ended["status"] == "success"


@pytest.mark.parametrize("block", [True, False])
async def test_who_creates_large_tasks_again_learns_the_same_keys(
    strict: Dragon, block: bool
) -> None:
    body = {"tasks": [{"task_name": "hello", "name": "x" * 60_000}] * 2, "block": block}
    async with aiohttp.ClientSession() as session:
        api = Api(session, strict.url)
        headers = api.headers | {"Idempotency-Key": f"large-{block}"}
        _, first = await api.post("/v1/create", body, **headers)
        for status in first:
            await api.post("/v1/status", {"tasks": status["key"], "block": True})
        assert await api.post("/v1/create", body, **headers) == (200, first)


def test_nobody_else_may_read_the_data_directory(strict: Dragon) -> None:
    for path in (strict.data / "work", strict.data / "valkey", strict.data / "running.json"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_what_is_written_there_is_private(strict: Dragon) -> None:
    files = [path for path in Path(strict.data / "valkey").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
