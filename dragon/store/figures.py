"""What operators ask of the store: depths, counts, durations and workers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from dragon.schemas import KINDS, Kind, decode_status, encode
from dragon.store.connection import translated_errors
from dragon.store.store import Store

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the duration histograms, in seconds; the last bucket has none."""


ANNOUNCE_SECONDS = 60


class QueueFigures(Struct, frozen=True, kw_only=True):
    """One class of work: jobs ready, seconds the foremost has waited, seconds since a worker asked.

    `idle_seconds` is None where no worker has asked for an hour.
    """

    kind: Kind
    depth: int
    age_seconds: float
    idle_seconds: float | None


class Figures(Struct, frozen=True, kw_only=True):
    """The whole store; `ended` by task and state, `durations` by phase: bucket counts, then sum."""

    queues: tuple[QueueFigures, ...]
    running: int
    delayed: int
    parked: int
    ended: dict[tuple[str, str], int]
    durations: dict[str, tuple[list[int], float]]


async def read_figures(store: Store) -> Figures:
    """Add up all shards. Raises Unavailable."""
    queues = {
        kind: QueueFigures(kind=kind, depth=0, age_seconds=0, idle_seconds=None) for kind in KINDS
    }
    running = delayed = parked = 0
    ended: dict[tuple[str, str], int] = {}
    figures: dict[str, int] = {}
    for shard in range(store.keys.shards):
        base = store.keys.base(shard)
        for kind in KINDS:
            queues[kind] = _join(queues[kind], await _read_queue(store, shard, kind))
        async with translated_errors(), store.client.pipeline(transaction=False) as pipeline:
            pipeline.zcard(base + "leases")
            pipeline.zcard(base + "delayed")
            pipeline.hvals(base + "parked")
            pipeline.hgetall(base + "ended")
            pipeline.hgetall(base + "durations")
            leases, waiting, parties, counts, raw_figures = await pipeline.execute()
        running += leases
        delayed += waiting
        parked += sum(map(int, parties))
        for name, count in counts.items():
            task, _, state = name.decode().rpartition(" ")
            ended[task, state] = ended.get((task, state), 0) + int(count)
        for name, value in raw_figures.items():
            figures[name.decode()] = figures.get(name.decode(), 0) + int(value)
    return Figures(
        queues=tuple(queues.values()),
        running=running,
        delayed=delayed,
        parked=parked,
        ended=ended,
        durations=_histograms(figures),
    )


async def announce_worker(store: Store, name: str, about: Mapping[str, object]) -> None:
    """Tell servers of a worker; forgotten if it is not told again in time."""
    async with translated_errors():
        key = f"{store.keys.base(0)}worker:{name}"
        await store.client.set(key, encode(about), ex=ANNOUNCE_SECONDS)


async def read_workers(store: Store) -> dict[str, object]:
    """What each worker that is alive has announced of itself, by name."""
    base = store.keys.base(0)
    async with translated_errors():
        consumers: Any = await store.client.zrange(base + "consumers", 0, -1)
        names = sorted({member.decode().partition(" ")[2] for member in consumers})
        if not names:
            return {}
        values = await store.client.mget([f"{base}worker:{name}" for name in names])
    return {
        name: msgspec.json.decode(value) for name, value in zip(names, values, strict=True) if value
    }


async def add_durations(store: Store, figures: Mapping[str, int]) -> None:
    """Add `"<phase> <bucket>"` counts and `"<phase> microseconds"` sums."""
    async with translated_errors(), store.client.pipeline(transaction=False) as pipeline:
        for name, value in figures.items():
            pipeline.hincrby(store.keys.base(0) + "durations", name, value)
        await pipeline.execute()


async def _read_queue(store: Store, shard: int, kind: Kind) -> QueueFigures:
    base = store.keys.base(shard)
    async with translated_errors(), store.client.pipeline(transaction=False) as pipeline:
        pipeline.zcard(f"{base}ready:{kind}")
        pipeline.zrange(f"{base}ready:{kind}", 0, 0)
        pipeline.zrange(base + "consumers", 0, -1, withscores=True)
        depth, first, consumers = await pipeline.execute()
    [foremost] = await store.read([first[0].decode()]) if first else [None]
    age_seconds = 0.0
    if foremost:
        age_seconds = store.clock.age(decode_status(foremost.update.line).events.queued)
    # The newest comes last.
    asked = [score for member, score in consumers if member.startswith(f"{kind} ".encode())]
    return QueueFigures(
        kind=kind,
        depth=depth,
        age_seconds=age_seconds,
        idle_seconds=store.clock.now() - asked[-1] / 1000 if asked else None,
    )


def _join(one: QueueFigures, other: QueueFigures) -> QueueFigures:
    idle = [value for value in (one.idle_seconds, other.idle_seconds) if value is not None]
    return QueueFigures(
        kind=one.kind,
        depth=one.depth + other.depth,
        age_seconds=max(one.age_seconds, other.age_seconds),
        idle_seconds=min(idle) if idle else None,
    )


def _histograms(figures: Mapping[str, int]) -> dict[str, tuple[list[int], float]]:
    phases = sorted({name.rpartition(" ")[0] for name in figures})
    return {
        phase: (
            [figures.get(f"{phase} {bucket}", 0) for bucket in range(len(BUCKETS) + 1)],
            figures.get(f"{phase} microseconds", 0) / 1e6,
        )
        for phase in phases
    }
