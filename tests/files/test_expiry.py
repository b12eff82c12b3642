"""What is forgotten in time: records, files, reuse, and the work directories of the dead."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import CONFIG
from tests.support.api import Answer, Api
from tests.support.hooking import created, hello
from tests.support.processes import Dragon, Part, is_alive
from tests.support.receivers import Receiver
from tests.support.waiting import eventually, until

RETENTION_SECONDS = 2
SHORT = f"retention_seconds = {RETENTION_SECONDS}\n" + CONFIG
MIXED = "volatile_seconds = 1\nwebhook_retention_seconds = 2\n" + CONFIG


@pytest.fixture
def open_gate(tmp_path: Path) -> Path:
    gate = tmp_path / "gate"
    gate.touch()
    return gate


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Dragon]:
    """One for all tests with the same parameter, which is how it is configured."""
    config = getattr(request, "param", CONFIG)
    with Dragon(tmp_path_factory.mktemp("own"), config=config) as own:
        yield own


async def until_forgotten(client: Api, key: str) -> dict[str, Any]:
    """What is answered about a job when its time is over."""

    async def ask() -> dict[str, Any] | None:
        status, answer = await client.get("/v1/status?tasks=" + key)
        assert status in (200, 404)
        return answer if status == 404 else None

    answer = await until(ask)
    assert answer is not None
    return answer


@pytest.mark.parametrize("own", [SHORT], indirect=True)
async def test_a_job_is_forgotten_with_its_files_and_its_reuse(
    own: Dragon, client: Api, open_gate: Path
) -> None:
    path = f"/v1/create_file/x?task_name=site.gated_file&path={open_gate}"

    async def get(url: str) -> Answer:
        return await client.ask("GET", url.removeprefix(own.url), headers=client.headers)

    async def served() -> str | None:
        """Where its file lies, if that is there for the same request twice: it is not for long."""
        first, again = [(await get(path)).headers["Location"] for _ in range(2)]
        return first if first == again and (await get(first)).status == 200 else None

    url = await until(served)
    assert url
    key = url.split("/")[-2]
    answer = await until_forgotten(client, key)
    assert [(error["name"], key in error["description"]) for error in answer["errors"]] == [
        ("tasks", True)
    ]
    assert (await get(url)).status == 404
    assert not list(own.data.glob(f"files/*/*/{key}"))
    assert await until(served) != url


@pytest.mark.parametrize("own", [SHORT], indirect=True)
async def test_failed_jobs_are_forgotten_as_well(client: Api) -> None:
    failed = await client.run(task_name="site.fail")
    wrong = await client.run(task_name="hello")
    assert failed["status"] == wrong["status"] == "error"
    for final in (failed, wrong):
        await until_forgotten(client, final["key"])


@pytest.mark.parametrize("own", [SHORT], indirect=True)
async def test_time_counts_from_the_end_of_a_job(client: Api, tmp_path: Path) -> None:
    gate = tmp_path / "late"
    definition = {"task_name": "site.gate", "path": str(gate)}
    _, [status] = await client.post("/v1/create", {"tasks": definition})
    ended = await client.run(task_name="hello", name="you")
    await until_forgotten(client, ended["key"])
    began = time.monotonic()
    gate.touch()
    _, [final] = await client.get(f"/v1/status?tasks={status['key']}&block=true")
    assert final["status"] == "success"
    code, _ = await client.get("/v1/status?tasks=" + final["key"])
    # Where the machine is slow, the time of this one is over as well.
    assert code == 200 or time.monotonic() - began > RETENTION_SECONDS
    await until_forgotten(client, final["key"])


@pytest.mark.parametrize("own", [MIXED], indirect=True)
async def test_a_volatile_job_is_forgotten_earlier(client: Api) -> None:
    kept = await client.run(task_name="hello", name="kept")
    volatile = await client.run(task_name="hello", name="volatile", task_store={"type": "volatile"})
    await until_forgotten(client, volatile["key"])
    status, [still] = await client.get("/v1/status?tasks=" + kept["key"])
    assert (status, still) == (200, kept)


async def test_the_work_directory_of_a_killed_worker_is_swept_and_no_other(
    own: Dragon, client: Api, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    definition = {"task_name": "site.gated_file", "path": str(gate)}
    _, [status] = await client.post("/v1/create", {"tasks": definition})
    await eventually((tmp_path / "gate.0.started").exists)
    first = own.worker()
    [work] = (own.data / "work").iterdir()
    [run] = work.iterdir()
    assert status["key"] in run.name
    with Part(own.data, "worker", "--redis", own.settings().redis) as second:
        [other] = [path for path in (own.data / "work").iterdir() if path != work]
        assert run.exists()
        first.kill()
        await eventually(lambda: not is_alive(first))
        await eventually(lambda: not work.exists())
        assert other.exists()
        await eventually((tmp_path / "gate.1.started").exists)
        gate.touch()
        _, [final] = await client.get(f"/v1/status?tasks={status['key']}&block=true")
        assert final["status"] == "success"
        assert is_alive(second.process)
    assert not other.exists()


@pytest.mark.parametrize("own", [MIXED], indirect=True)
async def test_a_delivery_is_forgotten_in_its_own_time(
    own: Dragon, client: Api, receiver: Receiver
) -> None:
    [key] = await created(client, hello(receiver))
    [hit] = await receiver.got(1)
    path = f"/v2/webhooks/deliveries/{hit.id}/replay"

    async def is_forgotten() -> bool:
        status, page = await client.get(f"/v2/webhooks/deliveries?task={key}")
        return status == 200 and page["deliveries"] == []

    assert await until(is_forgotten)
    assert (await client.post(path, {}))[0] == 404
    assert (await client.get(f"/v2/status?tasks={key}"))[0] == 200
