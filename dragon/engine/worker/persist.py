"""Repeats a call of the store until it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from dragon.errors import Unavailable

log = structlog.get_logger()

T = TypeVar("T")

STORE_RETRY_SECONDS = 0.5


async def persist(key: str, call: Callable[[], Awaitable[T]]) -> T:
    """The answer to a call on behalf of a job, which must bear being repeated."""
    while True:
        try:
            return await call()
        except Unavailable:
            log.warning("write_waits_for_store", key=key)
            await asyncio.sleep(STORE_RETRY_SECONDS)
