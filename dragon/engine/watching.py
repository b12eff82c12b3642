"""Tells whoever waits of newer statuses: subscribe, read, pass on only what is newer."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence, Set
from contextlib import AsyncExitStack
from typing import Self

import structlog

from dragon.background import Background, is_set_within
from dragon.engine.watch import Watch
from dragon.errors import Unavailable
from dragon.schemas import CHANNEL_LENGTH, KEY_LENGTH, Update
from dragon.store.feed import Feed
from dragon.store.store import Store

log = structlog.get_logger()

REREAD_SECONDS = 15.0
REREAD_KEYS = 500


class Watches:
    """All watches of a process over its one feed.

    Jobs that this process creates have keys that start with `channel`, to which it always
    listens; for others a channel is joined while somebody waits for one of its jobs.
    """

    def __init__(self, store: Store, channel: str = "") -> None:
        self.channel = channel
        self.count = 0
        """How many watches are open."""
        self._store = store
        self._watches: dict[str, set[Watch]] = {}
        self._joined: Counter[str] = Counter()
        self._interruption = ""
        self._reread_now = asyncio.Event()
        self.on_outdated: Callable[[Set[str]], None] = lambda _: None
        """Called with keys of ended jobs whose records must be read again; with none, all must."""
        self._feed = Feed(store.client, store.timeout_seconds, self._on_gap)
        self._background = Background()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._feed)
        await self._stack.enter_async_context(self._background)
        self._background.start(self._run(), "reread")
        if self.channel:
            await self._join([self.channel])
            await self._feed.subscribe([self._store.keys.outdated_channel], self._on_outdated)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def is_live(self) -> bool:
        """Whether statuses arrive as they happen."""
        return self._feed.is_live

    async def open(self, keys: Iterable[str]) -> Watch:
        """A watch whose subscriptions are live. Have it skip what is read and told after this."""
        watch = Watch(keys, self._close)
        self._add(watch)
        try:
            if channels := self._foreign_channels(watch):
                await self._join(channels)
        except BaseException:
            watch.close()
            raise
        if self._interruption:
            watch.interrupt(self._interruption)
        return watch

    def interrupt(self, words: str) -> None:
        """Whoever waits now or later is told that this server cannot say more."""
        self._interruption = words
        for watches in self._watches.values():
            for watch in watches:
                watch.interrupt(words)

    def _add(self, watch: Watch) -> None:
        self.count += 1
        self._joined.update(self._foreign_channels(watch))
        for key in watch.all_keys:
            self._watches.setdefault(key, set()).add(watch)

    def _close(self, watch: Watch) -> None:
        self.count -= 1
        for key in watch.all_keys:
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]
        if channels := self._foreign_channels(watch):
            self._joined.subtract(channels)
            self._background.start(self._leave(channels), "leave")

    def _foreign_channels(self, watch: Watch) -> set[str]:
        return {key[:CHANNEL_LENGTH] for key in watch.all_keys} - {self.channel}

    async def _join(self, channels: Collection[str]) -> None:
        await self._feed.subscribe(self._names(channels), self._on_message)

    async def _leave(self, channels: Collection[str]) -> None:
        # Others may have joined, or left, one of them since.
        left = [channel for channel in channels if self._joined.get(channel) == 0]
        for channel in left:
            del self._joined[channel]
        if left:
            await self._feed.unsubscribe(self._names(left))

    def _names(self, channels: Iterable[str]) -> list[str]:
        return [self._store.keys.status_channel(channel) for channel in channels]

    def _on_gap(self) -> None:
        self._reread_now.set()
        self.on_outdated(frozenset())

    def _on_outdated(self, message: bytes) -> None:
        self.on_outdated(frozenset(message.decode().split()))

    def _on_message(self, message: bytes) -> None:
        """One line for each job: key, version, state, status."""
        for row in message.split(b"\n"):
            key = row[:KEY_LENGTH].decode()
            if key in self._watches:
                version, state, line = row[KEY_LENGTH + 1 :].split(b" ", 2)
                self._offer(Update(key, int(version), state.decode(), line))  # type: ignore[arg-type]

    def _offer(self, update: Update) -> None:
        for watch in self._watches.get(update.key, ()):
            watch.offer(update)

    async def _run(self) -> None:
        """Read the truth after every gap, and from time to time in case one went unseen."""
        while True:
            await is_set_within(self._reread_now, REREAD_SECONDS)
            self._reread_now.clear()
            try:
                await self._run_once()
            except Unavailable as error:
                log.warning("reread_failed", error=error.message)
                # What a gap hid must not wait for the next round: of several Valkeys the feed's
                # may be back before those that hold the jobs.
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311
                self._reread_now.set()

    async def _run_once(self) -> None:
        await self._store.read_clock()
        keys = list(self._watches)
        for start in range(0, len(keys), REREAD_KEYS):
            await self.reread(keys[start : start + REREAD_KEYS])

    async def reread(self, keys: Sequence[str]) -> None:
        # A job that is submitted while the read is under way is not gone: it was not there yet.
        known = {key: self._that_know(key) for key in keys}
        for key, record in zip(keys, await self._store.read(keys), strict=True):
            if record:
                self._offer(record.update)
                continue
            for watch in known[key]:
                watch.expire(key, self._store.clock.iso())

    def _that_know(self, key: str) -> list[Watch]:
        """The watches that have seen the job."""
        return [watch for watch in self._watches.get(key, ()) if watch.has_seen(key)]
