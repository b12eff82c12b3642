"""Joins the calls that many callers make in one tick of the loop into one call to Valkey."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from dragon.errors import Unavailable
from dragon.store.connection import UNREACHABLE

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_SIZE = 500
"""Of one call: Valkey does nothing else meanwhile, so it must be over in a few milliseconds."""


class Batch(Generic[Item, Answer]):
    """`send` gets items of at most MAX_SIZE together and returns an answer for each, in order.

    While one call is under way the next items gather, so batches grow with the load and a lone
    item waits for nobody. If `send` raises, all callers of that batch get the error; a caller
    that has no answer after `timeout_seconds`, for slow calls were before its own, gets
    Unavailable. `start` runs a side task; `size` tells how much work an item is.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        timeout_seconds: float,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        size: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._start = start
        self._send = send
        self._size = size
        self._deadlines = _Deadlines(timeout_seconds)
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._is_sending = False

    def add(self, item: Item) -> asyncio.Future[Answer]:
        future = asyncio.get_running_loop().create_future()
        self._deadlines.add(future)
        self._waiting.append((item, future))
        if not self._is_sending:
            self._is_sending = True
            self._start(self._send_all(), "batch")
        return future

    async def _send_all(self) -> None:
        try:
            while batch := self._take():
                await self._send_batch(batch)
        finally:
            self._is_sending = False
            # Left over only if this is cancelled, as the process ends.
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[Item, asyncio.Future[Answer]]]:
        """The next items, one at least."""
        batch: list[tuple[Item, asyncio.Future[Answer]]] = []
        size = 0
        while self._waiting:
            item, future = self._waiting[0]
            size += self._size(item)
            if batch and size > MAX_SIZE:
                break
            self._waiting.popleft()
            # Whoever gave up while it waited was told so: its item must not be sent any more.
            if not future.done():
                batch.append((item, future))
        return batch

    async def _send_batch(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            for _, future in batch:
                _fail(future, error)


class _Deadlines:
    """Fails futures that are not done in time, with one timer for all: a timer each is slow."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # In the order of their deadlines, and without those at the front that are done.
        self._open: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any]) -> None:
        while self._open and self._open[0][1].done():
            self._open.popleft()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds
        self._open.append((deadline, future))
        if not self._timer:
            self._timer = loop.call_at(deadline, self._expire)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        while self._open and (self._open[0][1].done() or self._open[0][0] <= loop.time()):
            _, future = self._open.popleft()
            _fail(future, Unavailable(UNREACHABLE))
        self._timer = loop.call_at(self._open[0][0], self._expire) if self._open else None


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Somebody may have given up waiting: that is no error never heard of.
        future.exception()
