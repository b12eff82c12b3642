"""Joins the calls that many callers make in one tick of the loop into one call to Valkey."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from dragon.errors import Unavailable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_SIZE = 500
"""Of one call: Valkey does nothing else meanwhile, so it must be over in a few milliseconds."""


class Batch(Generic[Item, Answer]):
    """`send` gets items of at most MAX_SIZE together and returns an answer for each, in order.

    While one call is under way the next items gather, so batches grow with the load and a lone
    item waits for nobody. If `send` raises, all callers of that batch get the error; if it is
    Unavailable so do those who wait already, for they would wait as long again. `start` runs a
    side task; `size` tells how much work an item is.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        size: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._send = send
        self._start = start
        self._size = size
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._is_sending = False

    def add(self, item: Item) -> asyncio.Future[Answer]:
        future = asyncio.get_running_loop().create_future()
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
            failed = batch
            if isinstance(error, Unavailable):
                failed = batch + list(self._waiting)
                self._waiting.clear()
            for _, future in failed:
                if not future.done():
                    future.set_exception(error)
                    # Somebody may have given up waiting: that is no error never heard of.
                    future.exception()
