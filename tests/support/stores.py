"""The transitions of jobs as tests make them, and what is heard and counted meanwhile."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import redis.asyncio as redis

from dragon.schemas import Claim, Kind, OutputFile, Record, Update
from dragon.settings import Settings
from dragon.store.offer import Offer
from dragon.store.store import Store
from dragon.store.submission import Submission
from tests.support.jobs import line_of, submission
from tests.support.waiting import DEADLINE_SECONDS, until

FILE = OutputFile(name="out", filename="out.bin", content_type="image/png", path="a/b", size=3)

Moved = tuple[list[str], list[str], list[str]]


async def submit(store: Store, request: Submission) -> list[str]:
    assert await store.submit(request) is None
    return [job.key for job in request.jobs]


async def claim(
    store: Store, count: int = 100, kind: Kind = "fast", shard: int = 0
) -> Sequence[Claim]:
    return (await store.claim("worker", {kind: count}, shard)).claims


async def run_one(store: Store, **options: Any) -> Claim:
    """A job that is executing."""
    [key] = await submit(store, submission(store, **options))
    [held] = await claim(store)
    assert held.job.key == key
    return held


async def read(store: Store, key: str) -> Record:
    [record] = await store.read([key])
    assert record is not None
    return record


async def finish(
    store: Store,
    held: Claim,
    state: Any = "success",
    offer: Offer | None = None,
    files: Sequence[OutputFile] = (),
    **fields: Any,
) -> bool:
    return await store.finish(held, state, line_of(held.job.key, state, **fields), files, offer)


def made(held: Claim, *sizes: int, store: str = "") -> tuple[OutputFile, ...]:
    """Files of a run: `out0.bin` and so on, as large as that."""
    job = held.job
    folder = f"{job.account}/{job.queued[:10]}/{job.key}/{held.token}"
    return tuple(
        OutputFile(
            name=f"out{number}",
            filename=f"out{number}.bin",
            content_type="application/octet-stream",
            path=f"{folder}/out{number}.bin",
            size=size,
            store=store,
        )
        for number, size in enumerate(sizes)
    )


async def ended_keys(store: Store, shard: int = 0) -> list[str]:
    """Of all jobs that have ended and are not forgotten."""
    keys: Any = await store.client.zrange(store.keys.base(shard) + "expiry", 0, -1)
    return [key.decode() for key in keys]


async def make_due(store: Store) -> None:
    """As if the time of all ended jobs were over, and nobody had taken any to forget it."""
    await store.client.zadd(
        store.keys.base(0) + "expiry", dict.fromkeys(await ended_keys(store), 0)
    )


async def due_keys(store: Store) -> list[str]:
    """Taken to be forgotten."""
    return [record.update.key for record in await store.expire(0, 1000, 60)]


async def forget_all(store: Store) -> None:
    """As if the time of all ended jobs were over."""
    for shard in range(store.keys.shards):
        await store.forget(shard, await ended_keys(store, shard))


async def retry(
    store: Store, held: Claim, pause_seconds: float = 0, *, is_counted: bool = True
) -> bool:
    line = line_of(held.job.key, "queued")
    return await store.retry(held, line, pause_seconds=pause_seconds, is_counted=is_counted)


async def reap(store: Store) -> Moved:
    """Jobs promoted, requeued and failed, as soon as there are any; silent ones get no time."""

    async def look() -> Moved | None:
        promoted, silent, requeued, failed = await store.reap(0)
        if silent:
            await store.client.zadd(
                store.keys.base(0) + "leases", dict.fromkeys(silent, 0), xx=True
            )
        moved = promoted, requeued, failed
        return moved if any(moved) else None

    moved = await until(look)
    assert moved is not None
    return moved


async def counters(store: Store, shard: int = 0) -> dict[str, int]:
    """Jobs that accounts have queued and running, without those that have none."""
    found = {}
    for name in ("queued", "running"):
        answer: Any = store.client.hgetall(store.keys.base(shard) + name)
        for account, count in (await answer).items():
            # Other fields are receivers of web hooks.
            if b" " not in account:
                found[f"{name} {account.decode()}"] = int(count)
    return found


def short_lease(settings: Settings) -> Store:
    """Another process on the same Valkey, whose leases are over at once."""
    return Store(msgspec.structs.replace(settings, lease_seconds=0.02))


@asynccontextmanager
async def listening(store: Store) -> AsyncIterator[redis.client.PubSub]:
    """All status messages of the store from now on."""
    async with store.client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.psubscribe(store.keys.channels + "status:*")
        # The answer to a ping comes after the subscription is live.
        await listener.ping()
        while (message := await listener.get_message(timeout=DEADLINE_SECONDS)) is None:
            pass
        assert message["type"] == "pong"
        yield listener


async def heard(listener: redis.client.PubSub, count: int) -> list[Update]:
    """The next `count` statuses that were told."""
    updates: list[Update] = []
    while len(updates) < count:
        message = await listener.get_message(timeout=DEADLINE_SECONDS)
        assert message is not None, f"only {len(updates)} of {count} were told"
        for row in message["data"].split(b"\n"):
            key, version, state, line = row.split(b" ", 3)
            assert message["channel"].endswith(b":" + key[:3])
            updates.append(Update(key.decode(), int(version), state.decode(), line))
    assert len(updates) == count
    return updates


async def expire_leases(store: Store) -> None:
    """As if the time of all leases had come: their workers are gone."""
    leases: Any = await store.client.zrange(store.keys.base(0) + "leases", 0, -1)
    if leases:
        await store.client.zadd(store.keys.base(0) + "leases", dict.fromkeys(leases, 0))
