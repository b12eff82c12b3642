"""Tells whoever waits of newer statuses: subscribe, read, pass on only what is newer."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from dragon.background import Background
from dragon.errors import Unavailable
from dragon.schemas import CHANNEL_LENGTH, Events, Status, Update, encode
from dragon.store.feed import Feed
from dragon.store.store import Store

log = structlog.get_logger()

REREAD_SECONDS = 15.0
REREAD_KEYS = 500


class Watch:
    """Follows some jobs to their end, keeping no more than the newest status of each.

    A reader that is slow misses intermediate statuses, never a final one.
    """

    __slots__ = ("_fresh", "_interruption", "_versions", "_waiter", "_wants_end")

    def __init__(self, known: Mapping[str, int]) -> None:
        # The newest version passed on of each job that has not ended.
        self._versions = dict(known)
        self._fresh: dict[str, Update] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._wants_end = False
        self._interruption: Exception | None = None

    @property
    def keys(self) -> frozenset[str]:
        """The jobs that have not ended."""
        return frozenset(self._versions)

    def skip(self, update: Update) -> None:
        """This one has been told already: pass on only what is newer."""
        fresh = self._fresh.get(update.key)
        if fresh and fresh.version <= update.version:
            del self._fresh[update.key]
        if self._is_newer(update):
            self._note(update)

    def offer(self, update: Update) -> None:
        if not self._is_newer(update):
            return
        self._fresh[update.key] = update
        self._note(update)
        if self._waiter and not self._waiter.done() and not (self._wants_end and self._versions):
            self._waiter.set_result(None)

    def interrupt(self, error: Exception) -> None:
        """Whoever waits for more gets this error instead."""
        self._interruption = error
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(error)

    async def changes(self) -> list[Update]:
        """What is newer than at the last call, waiting for something; empty when all have ended."""
        if not self._fresh and self._versions:
            await self._wait(wants_end=False)
        changes = list(self._fresh.values())
        self._fresh.clear()
        return changes

    async def ends(self) -> dict[str, Update]:
        """Wait until all have ended; the final status of each that had not when this began."""
        if self._versions:
            await self._wait(wants_end=True)
        return self._fresh

    def _is_newer(self, update: Update) -> bool:
        version = self._versions.get(update.key)
        return version is not None and update.version > version

    def _note(self, update: Update) -> None:
        if update.is_final:
            del self._versions[update.key]
        else:
            self._versions[update.key] = update.version

    async def _wait(self, *, wants_end: bool) -> None:
        if self._interruption:
            raise self._interruption
        self._wants_end = wants_end
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


class Watches:
    """All watches of a process over its one feed.

    Jobs that this process creates have keys that start with `channel`, to which it always
    listens; for others a channel is joined while somebody waits for one of its jobs.
    """

    def __init__(self, store: Store, channel: str) -> None:
        self.channel = channel
        self._store = store
        self._watches: dict[str, set[Watch]] = {}
        self._joined: dict[str, int] = {}
        self._count = 0
        self._reread_now = asyncio.Event()
        self.feed = Feed(store.client, self._reread_now.set)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.feed)
        background = await self._stack.enter_async_context(Background())
        background.start(self._run(), "reread")
        await self._subscribe(self.channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def count(self) -> int:
        """How many watches are open."""
        return self._count

    async def open(self, keys: Iterable[str]) -> Watch:
        """A watch whose subscriptions are live; `close` it. Offer it a snapshot read after this."""
        keys = frozenset(keys)
        watch = Watch(dict.fromkeys(keys, 0))
        self._count += 1
        for key in keys:
            self._watches.setdefault(key, set()).add(watch)
        channels = {key[:CHANNEL_LENGTH] for key in keys} - {self.channel}
        for channel in channels:
            self._joined[channel] = self._joined.get(channel, 0) + 1
        try:
            for channel in channels:
                await self._subscribe(channel)
        except BaseException:
            await self.close(watch, keys)
            raise
        return watch

    async def close(self, watch: Watch, keys: Iterable[str]) -> None:
        """Forget the watch, opened on `keys`."""
        self._count -= 1
        keys = frozenset(keys)
        for key in keys:
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]
        for channel in {key[:CHANNEL_LENGTH] for key in keys} - {self.channel}:
            await self._leave(channel)

    def interrupt(self, error: Exception) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.interrupt(error)

    async def _subscribe(self, channel: str) -> None:
        await self.feed.subscribe(self._store.keys.status_channel(channel), self._on_message)

    async def _leave(self, channel: str) -> None:
        self._joined[channel] -= 1
        if not self._joined[channel]:
            del self._joined[channel]
            await self.feed.unsubscribe(self._store.keys.status_channel(channel))

    def _on_message(self, message: bytes) -> None:
        """One line for each job: key, version, state, status."""
        for row in message.split(b"\n"):
            key = row[:26].decode()
            if key in self._watches:
                version, state, line = row[27:].split(b" ", 2)
                self._offer(Update(key, int(version), state.decode(), line))  # type: ignore[arg-type]

    def _offer(self, update: Update) -> None:
        for watch in self._watches.get(update.key, ()):
            watch.offer(update)

    async def _run(self) -> None:
        """Read the truth after every gap, and from time to time in case one went unseen."""
        while True:
            try:
                async with asyncio.timeout(REREAD_SECONDS):
                    await self._reread_now.wait()
            except TimeoutError:
                pass
            self._reread_now.clear()
            try:
                await self._run_once()
            except Unavailable as error:
                log.warning("reread_failed", error=error.message)

    async def _run_once(self) -> None:
        keys = list(self._watches)
        for start in range(0, len(keys), REREAD_KEYS):
            await self.reread(keys[start : start + REREAD_KEYS])

    async def reread(self, keys: Sequence[str]) -> None:
        for key, record in zip(keys, await self._store.read(keys), strict=True):
            self._offer(record.update if record else expired(key))


def expired(key: str) -> Update:
    """What a waiter is told of a job whose record is gone."""
    status = Status(status="error", key=key, error="the task has expired", events=Events(queued=""))
    return Update(key, 2**62, status.status, encode(status))
