"""Who waits for some jobs: keeps the newest status of each until it is taken."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Protocol, Self

from dragon.errors import Unavailable
from dragon.schemas import Events, Status, Update, encode

EXPIRED = "the task has expired"


class Sink(Protocol):
    """Passes on an update at once, or tells that it cannot."""

    def take(self, update: Update) -> bool: ...


class Watch:
    """Follows some jobs to their end, keeping no more than the newest status of each.

    A reader that is slow misses intermediate statuses, never a final one. Thousands wait at a
    time, so what each holds is counted in bytes. A context manager that stops following.
    """

    __slots__ = (
        "_fresh", "_interruption", "_on_close", "_room", "_versions", "_waiter",
        "all_keys", "sink",
    )  # fmt: skip

    def __init__(self, keys: Iterable[str], on_close: Callable[["Watch"], None]) -> None:
        # The newest version passed on of each job that has not ended.
        self._versions = dict.fromkeys(keys, 0)
        self.all_keys = tuple(self._versions)
        """Those of the jobs that have ended, too."""
        self._on_close = on_close
        self._fresh: dict[str, Update] = {}
        self._waiter: asyncio.Future[None] | None = None
        # Of who waits for ends alone: how many bytes of them there is room for yet.
        self._room: float | None = None
        self._interruption = ""
        self.sink: Sink | None = None
        """Offered each change that somebody waits for; what it takes, `changes` leaves out."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._on_close(self)

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
        self._note(update)
        waiter = self._waiter if self._waiter and not self._waiter.done() else None
        if self._room is not None:
            if update.is_final:
                self._fresh[update.key] = update
                self._room -= len(update.line)
        # While nobody waits the reader is busy with older ones, which must come first.
        elif not (waiter and self.sink and self.sink.take(update)):
            self._fresh[update.key] = update
        has_news = self._fresh if self._room is None else self._room < 0
        if waiter and (has_news or not self._versions):
            waiter.set_result(None)

    def has_seen(self, key: str) -> bool:
        """Whether the job was there already; one of version 0 was not."""
        return self._versions.get(key, 0) > 0

    def expire(self, key: str, now: str) -> None:
        """The job's record is gone, though the job was seen and has not ended."""
        if version := self._versions.get(key):
            # When it was queued nobody knows any more, but clients expect a date.
            events = Events(queued=now, completed=now)
            status = Status(status="error", key=key, error=EXPIRED, events=events)
            self.offer(Update(key, version + 1, status.status, encode(status)))

    def interrupt(self, words: str) -> None:
        """Whoever waits for more is told that this server cannot say it."""
        self._interruption = words
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(Unavailable(words))

    async def changes(self) -> list[Update]:
        """What is newer than at the last call, waiting for something; empty when all have ended.

        Without what the sink took.
        """
        if not self._fresh and self._versions:
            await self._wait(None)
        changes = list(self._fresh.values())
        self._fresh.clear()
        return changes

    async def ends(self, max_bytes: float = math.inf) -> dict[str, Update]:
        """Wait until all have ended; the final status of each that had not when this began.

        Or, as soon as they are larger together than `max_bytes`, those there are.
        """
        self._fresh = {key: update for key, update in self._fresh.items() if update.is_final}
        room = max_bytes - sum(len(update.line) for update in self._fresh.values())
        if self._versions and room >= 0:
            await self._wait(room)
        return self._fresh

    def _is_newer(self, update: Update) -> bool:
        version = self._versions.get(update.key)
        return version is not None and update.version > version

    def _note(self, update: Update) -> None:
        if update.is_final:
            del self._versions[update.key]
        else:
            self._versions[update.key] = update.version

    def _wait(self, room: float | None) -> asyncio.Future[None]:
        if self._interruption:
            raise Unavailable(self._interruption)
        self._room = room
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter
