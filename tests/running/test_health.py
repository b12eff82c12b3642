"""What operators see: health in words, and metrics that Prometheus can read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from structlog.testing import capture_logs

from dragon.engine.durability_log import DurabilityLog
from dragon.faces.operations import versions_of
from dragon.settings import Limits, Settings
from dragon.store.figures import read_figures
from dragon.store.store import Store
from tests.streams.test_streams import until_waiting
from tests.support.api import Api
from tests.support.jobs import hooked, line_of, submission
from tests.support.processes import PATIENCE, Dragon, Part
from tests.support.valkey import valkey_server
from tests.support.waiting import DEADLINE_SECONDS, eventually, until


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    ) as session:
        yield session


def server(data: Path, redis: str) -> Part:
    return Part(data, "serve", "--port", "0", "--redis", redis, **PATIENCE)


def patient(redis: str) -> Settings:
    return Settings(redis=redis, redis_timeout_seconds=DEADLINE_SECONDS)


async def problems(session: aiohttp.ClientSession, url: str) -> list[str]:
    """What is wrong, in words."""
    async with session.get(url + "/health/ready") as response:
        answer = await response.json()
        assert (response.status, answer["status"]) in ((200, "ok"), (503, "error"))
        assert bool(answer["problems"]) == (response.status == 503)
        found: list[str] = answer["problems"]
        return found


async def test_a_server_that_runs_is_live(api: Api) -> None:
    assert await api.get("/health/live") == (200, {"status": "ok"})


async def test_a_dragon_that_is_whole_is_ready_and_tells_its_confinement(
    api: Api, dragon: Dragon
) -> None:
    status, health = await api.get("/health/ready")
    assert (status, health["status"], health["problems"]) == (200, "ok", [])
    [(name, worker)] = health["workers"].items()
    assert str(dragon.worker().pid) in name
    assert worker["slots"] == {"fast": 100, "heavy": 2, "flow": 1000, "record": 8, "hook": 200}
    assert 0 <= worker["loop_lag_seconds"] < DEADLINE_SECONDS
    assert worker["confinement"]
    assert all(isinstance(words, str) and words for words in worker["confinement"].values())
    assert {"dragon", "python", "aiohttp", "redis"} <= health["versions"].keys()


def test_a_library_that_a_site_does_without_has_no_version() -> None:
    assert versions_of(["aiohttp", "no-such-library"]).keys() == {"dragon", "python", "aiohttp"}


async def test_without_a_worker_nothing_is_ready_until_one_comes_and_after_it_stands_still(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "v") as redis, server(tmp_path / "d", redis) as part:
        missing = [f"no worker asks for {kind} tasks" for kind in ("fast", "heavy", "flow")]
        assert await problems(session, part.url()) == missing
        async with session.get(part.url() + "/health/live") as response:
            assert response.status == 200
        with Part(tmp_path / "d", "worker", "--redis", redis) as worker:
            await until(lambda: is_ready(session, part.url()))
            worker.process.suspend()
            await until(lambda: lacks(session, part.url(), missing), DEADLINE_SECONDS + 15)
            worker.process.resume()
            await until(lambda: is_ready(session, part.url()))


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    return not await problems(session, url)


async def lacks(session: aiohttp.ClientSession, url: str, missing: list[str]) -> bool:
    return await problems(session, url) == missing


async def test_a_worker_of_other_classes_is_not_enough(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with (
        valkey_server(tmp_path / "v") as redis,
        server(tmp_path / "d", redis) as part,
        Part(tmp_path / "d", "worker", "--redis", redis, "--classes", "heavy"),
    ):
        missing = [f"no worker asks for {kind} tasks" for kind in ("fast", "flow")]
        await until(lambda: lacks(session, part.url(), missing))
        async with Store(patient(redis)) as store:
            await store.submit(hooked(store, submission(store, state="error"), "error"))
        # Nobody who delivers web hooks is missed before there is one.
        assert await problems(session, part.url()) == [*missing, "no worker asks for hook tasks"]


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("appendonly", "no", "Valkey keeps no append-only file: set appendonly yes"),
        (
            "maxmemory-policy",
            "allkeys-lru",
            "Valkey may evict jobs: set maxmemory-policy noeviction",
        ),
    ],
)
async def test_a_valkey_that_may_forget_jobs_is_told(
    session: aiohttp.ClientSession, tmp_path: Path, setting: str, value: str, words: str
) -> None:
    with (
        valkey_server(tmp_path / "v", f"--{setting}", value) as redis,
        server(tmp_path / "d", redis) as part,
    ):
        assert words in await problems(session, part.url())


async def test_what_makes_valkey_unsafe_is_logged_once_until_it_changes(tmp_path: Path) -> None:
    with valkey_server(tmp_path / "v", "--appendfsync", "no") as redis, capture_logs() as logs:
        async with Store(patient(redis)) as store:
            durability_log = DurabilityLog(store)
            for value in ("no", "no", "everysec", "everysec", "no"):
                await store.client.config_set("appendfsync", value)
                await durability_log.run_once()
    events = [log["event"] for log in logs]
    assert events == ["valkey_is_unsafe", "valkey_is_safe", "valkey_is_unsafe"]


async def test_a_valkey_that_is_gone_is_told(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "v") as redis:
        part = Part(tmp_path / "d", "serve", "--port", "0", "--redis", redis).__enter__()
    try:
        assert "the store cannot be reached, try again soon" in await problems(session, part.url())
        async with session.get(part.url() + "/health/live") as response:
            assert response.status == 200
        async with session.get(part.url() + "/metrics") as response:
            assert response.status == 503
    finally:
        part.__exit__()


# Metrics.


async def read_metrics(api: Api) -> list[Sample]:
    answer = await api.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    return [sample for family in families for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    """The one sample of that name and these labels; 0 if nothing was counted yet."""
    found = [one.value for one in samples if one.name == name and one.labels == labels]
    assert len(found) <= 1
    return found[0] if found else 0.0


async def test_metrics_count_what_ended_by_task_and_status(api: Api) -> None:
    before = await read_metrics(api)
    for _ in range(3):
        await api.run(task_name="site.text", text="x")
    await api.run(task_name="site.fail")
    after = await read_metrics(api)

    def grown(task: str, status: str) -> float:
        counts = [
            value(samples, "dragon_jobs_ended_total", task=task, status=status)
            for samples in (before, after)
        ]
        return counts[1] - counts[0]

    assert grown("site.text", "success") == 3
    assert grown("site.text", "error") == 0
    assert grown("site.fail", "error") == 1


async def test_metrics_tell_queues_running_jobs_and_open_streams(api: Api, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    # Other tests may have left a job or two running: what counts is what these add.
    running = value(await read_metrics(api), "dragon_jobs_running")
    await until_waiting(api, 0)
    body = {"tasks": 5 * [{"task_name": "site.heavy_gate", "path": str(gate)}]}
    waiting = asyncio.create_task(api.post("/v1/create", {**body, "block": True}))
    await eventually(lambda: len(list(tmp_path.glob("gate.*.started"))) == 2)
    await until_waiting(api, 1)
    samples = await read_metrics(api)
    assert value(samples, "dragon_queue_depth", kind="heavy") == 3
    assert value(samples, "dragon_queue_depth", kind="fast") == 0
    assert 0 < value(samples, "dragon_queue_age_seconds", kind="heavy") < 60
    assert value(samples, "dragon_queue_age_seconds", kind="fast") == 0
    assert {one.labels["kind"] for one in samples if one.name == "dragon_queue_depth"} == {
        "fast",
        "heavy",
        "flow",
        "record",
        "hook",
    }
    assert 2 <= value(samples, "dragon_jobs_running") <= running + 2
    gate.touch()
    await waiting
    samples = await read_metrics(api)
    assert value(samples, "dragon_queue_depth", kind="heavy") == 0
    assert value(samples, "dragon_jobs_running") <= running
    await until_waiting(api, 0)


async def test_durations_are_histograms_by_phase(api: Api) -> None:
    before = value(await read_metrics(api), "dragon_phase_seconds_count", phase="isolated")
    await api.run(task_name="site.hold", seconds=0.3)

    async def is_counted() -> list[Sample]:
        samples = await read_metrics(api)
        count = value(samples, "dragon_phase_seconds_count", phase="isolated")
        return samples if count > before else []

    samples = await until(is_counted)
    phases = {one.labels["phase"] for one in samples if one.name == "dragon_phase_seconds_count"}
    assert {"queue", "total", "isolated"} <= phases
    for phase in phases:
        buckets = [
            one
            for one in samples
            if one.name == "dragon_phase_seconds_bucket" and one.labels["phase"] == phase
        ]
        counts = [one.value for one in buckets]
        assert counts == sorted(counts)
        assert buckets[-1].labels["le"] == "+Inf"
        assert counts[-1] == value(samples, "dragon_phase_seconds_count", phase=phase) > 0
    assert value(samples, "dragon_phase_seconds_sum", phase="isolated") >= 0.3


async def test_figures_tell_jobs_beyond_a_limit(store: Store) -> None:
    await store.submit(submission(store, 3, limits=Limits(running=1)))
    await store.claim("worker", {"fast": 3}, 0)
    figures = await read_figures(store)
    assert (figures.running, figures.parked) == (1, 2)


async def test_figures_tell_jobs_that_wait_to_retry(store: Store) -> None:
    began = store.clock.now()
    await store.submit(submission(store, 3))
    claims = (await store.claim("worker", {"fast": 2}, 0)).claims
    line = line_of(claims[0].job.key, "queued")
    assert await store.retry(claims[0], line, pause_seconds=60, is_counted=True)
    figures = await read_figures(store)
    assert (figures.running, figures.delayed) == (1, 1)
    depths: dict[str, Any] = {queue.kind: queue.depth for queue in figures.queues}
    assert depths == {"fast": 1, "heavy": 0, "flow": 0, "record": 0, "hook": 0}
    idle = {queue.kind: queue.idle_seconds for queue in figures.queues}
    assert idle["heavy"] is None
    # By two clocks, which may differ a little.
    assert idle["fast"] is not None
    assert -5 < idle["fast"] < store.clock.now() - began + 5
