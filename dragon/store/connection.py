"""Connects to Valkey: URL to client, scripts, and one error for all that can go wrong."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import cast

import redis.asyncio as redis
from redis.commands.core import AsyncScript
from redis.exceptions import (
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from dragon.errors import InvalidSettings, Unavailable
from dragon.store.topologies import Cluster, connect_by_sentinel, pool_options
from dragon.urls import split_valkey_url

SCRIPTS = {
    "submit": ("hooks",),
    "claim": (),
    "renew": (),
    "progress": (),
    "finish": ("hooks", "ends"),
    "retry": (),
    "reap": ("hooks", "ends"),
    "cancel": ("hooks", "ends"),
    "tried": ("hooks", "ends"),
    "replay": ("hooks",),
    "unstore": ("hooks", "ends"),
    "lifetime": ("hooks", "ends"),
    "expire": (),
    "forget": ("hooks", "ends"),
    "browse": (),
}
"""One for each transition, and what it needs beside common.lua."""

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
_CLOSED = ("the handler is closed", "has no attribute 'writelines'")
"""What uvloop and redis-py say of a connection that another task closed, as its server is gone."""
_REFUSING = ("MISCONF", "NOREPLICAS", "LOADING", "BUSY", "OOM", "UNBLOCKED")


def connect(url: str, timeout_seconds: float) -> redis.Redis:
    """A client that never repeats a command by itself: a lost reply may mean a write that landed.

    Callers that find no connection free wait for one, up to the timeout. Raises InvalidSettings.
    """
    servers = split_valkey_url(url)
    if servers is None:
        return _connect_to_one(url, timeout_seconds)
    if servers.scheme == "sentinel":
        return connect_by_sentinel(servers, timeout_seconds)
    # It has no common ancestor with the other client, but all the commands.
    return cast(redis.Redis, Cluster(servers, timeout_seconds))


def _connect_to_one(url: str, timeout_seconds: float) -> redis.Redis:
    try:
        pool = redis.BlockingConnectionPool.from_url(url, **pool_options(timeout_seconds))
    except ValueError as error:
        raise InvalidSettings(f"redis: {error}") from None
    return redis.Redis.from_pool(pool)


def load_scripts(client: redis.Redis) -> dict[str, AsyncScript]:
    """Each transition's script, led by what all of them share, and what some do."""
    folder = resources.files("dragon.store").joinpath("scripts")

    def read(*names: str) -> str:
        return "".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)

    return {
        name: client.register_script(read("common", *shared, name))
        for name, shared in SCRIPTS.items()
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
    except (AttributeError, RuntimeError) as error:
        if not str(error).endswith(_CLOSED):
            raise
        raise Unavailable(UNREACHABLE) from error
