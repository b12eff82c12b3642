"""Processes that watch jobs, and what a watch must have told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from dragon.engine.engine import Engine
from dragon.engine.watch import Watch
from dragon.engine.watching import Watches
from dragon.registry import Registry
from dragon.schemas import CHANNEL_LENGTH, Claim, Update, new_key
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.jobs import line_of, submission


class Process:
    """What one server process has: a store, a feed and its watches."""

    def __init__(self, settings: Settings, store: Store, watches: Watches) -> None:
        self.store = store
        self.watches = watches
        self.engine = Engine(settings, Registry([]), store, watches)

    async def start_jobs(self, count: int = 1) -> Sequence[Claim]:
        """Jobs that this process created and a worker runs."""
        await self.store.submit(submission(self.store, count, channel=self.watches.channel))
        claims = (await self.store.claim("worker", {"fast": count}, 0)).claims
        assert len(claims) == count
        return claims

    @asynccontextmanager
    async def watching(self, keys: Sequence[str]) -> AsyncIterator[tuple[Sequence[Update], Watch]]:
        updates, watch = await self.engine.watch(keys)
        with watch:
            yield updates, watch

    async def channels(self) -> set[str]:
        """Status channels of the test that anybody listens to."""
        prefix = self.store.keys.channels + "status:"
        found: Any = await self.store.client.pubsub_channels(prefix + "*")
        return {channel.decode().removeprefix(prefix) for channel in found}


@asynccontextmanager
async def start_process(settings: Settings) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store(settings))
        watches = Watches(store, new_key()[:CHANNEL_LENGTH])
        yield Process(settings, store, await stack.enter_async_context(watches))


async def finish(store: Store, held: Claim) -> None:
    assert await store.finish(held, "success", line_of(held.job.key, "success", result=1), ())


async def tell_progress(store: Store, held: Claim, value: Any) -> None:
    assert await store.progress(held, line_of(held.job.key, "executing", progress=value))


async def follow(process: Process, keys: Sequence[str]) -> list[Update]:
    """All that somebody who watches these jobs is told, from the snapshot to the end."""
    async with process.watching(keys) as (updates, watch):
        seen = list(updates)
        while changes := await watch.changes():
            seen += changes
    return seen


def assert_whole(seen: list[Update], keys: Sequence[str]) -> None:
    """Each job ended once, last of all, and no version came twice or went back."""
    for key in keys:
        mine = [update for update in seen if update.key == key]
        versions = [update.version for update in mine]
        assert versions == sorted(set(versions))
        assert [update.is_final for update in mine].count(True) == 1
        assert mine[-1].is_final
