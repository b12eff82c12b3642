"""Connects to Valkey: URL to client, scripts, and one error for all that can go wrong."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from dragon.errors import Unavailable

SCRIPTS = ("submit", "claim", "renew", "progress", "finish", "retry", "reap", "cancel", "forget")


UNREACHABLE = "the store cannot be reached, try again soon"

_OUT_OF_REACH = (
    redis.ConnectionError,
    redis.TimeoutError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    OSError,
    TimeoutError,
)
_REFUSING = ("MISCONF", "NOREPLICAS", "LOADING", "BUSY", "OOM", "UNBLOCKED")


def connect(url: str, timeout_seconds: float) -> redis.Redis:
    """A client that never repeats a command by itself: a lost reply may mean a write that landed.

    Callers that find no connection free wait for one, up to the timeout.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
    )
    return redis.Redis.from_pool(pool)


def load_scripts(client: redis.Redis) -> dict[str, AsyncScript]:
    """Each transition's script, led by what all of them share."""
    folder = resources.files("dragon.store").joinpath("scripts")
    common = folder.joinpath("common.lua").read_text("utf-8")
    return {
        name: client.register_script(common + folder.joinpath(f"{name}.lua").read_text("utf-8"))
        for name in SCRIPTS
    }


@asynccontextmanager
async def translated_errors() -> AsyncIterator[None]:
    """Raise Unavailable for whatever keeps Valkey from answering; a script's bug stays a bug."""
    try:
        yield
    except _OUT_OF_REACH as error:
        raise Unavailable(UNREACHABLE) from error
    except ResponseError as error:
        if not str(error).startswith(_REFUSING):
            raise
        raise Unavailable(UNREACHABLE) from error


async def run_script(
    script: AsyncScript, base: str, channels: str, arguments: Sequence[Any]
) -> Any:
    async with translated_errors():
        return await script(keys=[base], args=[channels, *arguments])
