"""Joins the calls that many callers make in one tick of the loop into one call to Valkey."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batch(Generic[Item, Answer]):
    """`send` gets up to `limit` items and returns an answer for each, in order.

    While one call is under way the next items gather, so batches grow with the load and a lone
    item waits for nobody. If `send` raises, all callers of that batch get the error.
    """

    def __init__(
        self, send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], limit: int = 200
    ) -> None:
        self._send = send
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._sender: asyncio.Task[None] | None = None

    def add(self, item: Item) -> asyncio.Future[Answer]:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return future

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[: self._limit]
                del self._waiting[: self._limit]
                # Whoever gave up while it waited was told so: its item must not be sent any more.
                await self._send_batch([entry for entry in batch if not entry[1].done()])
        finally:
            self._sender = None

    async def _send_batch(self, batch: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        if not batch:
            return
        try:
            answers = await self._send([item for item, _ in batch])
        except BaseException as error:
            # Whoever waits must hear of it, also when the loop is closing and this is cancelled.
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
