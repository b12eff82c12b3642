"""The one pub/sub connection of a process: channels in, callbacks out, reconnects told."""

import asyncio
import random
from collections.abc import Callable, Collection
from typing import Any, Self

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from dragon.background import Background
from dragon.errors import Unavailable
from dragon.store.connection import UNREACHABLE
from dragon.store.topologies import pubsub_pool

log = structlog.get_logger()

SILENCE_SECONDS = 5.0
_CAUGHT_UP = b"caught up"

# The last is what uvloop raises on a connection that is closed already.
_LOST = (RedisError, OSError, TimeoutError, RuntimeError)

Callback = Callable[[bytes], None]


class Feed:
    """Delivers messages of channels; `on_gap` is called when some may have been missed.

    Pub/sub only hurries things along: a half-open connection stays silent for good, so silence is
    questioned with a ping, and after every reconnect whoever listens must read the truth again.
    """

    def __init__(
        self, client: redis.Redis, timeout_seconds: float, on_gap: Callable[[], None]
    ) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._on_gap = on_gap
        self._has_gap = True
        self._callbacks: dict[str, Callback] = {}
        self._live: dict[str, asyncio.Event] = {}
        self._pubsub: Any = None
        self._has_caught_up = asyncio.Event()
        self._background = Background()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._background.start(self._run(), "feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._background.close()
        finally:
            await self._close()

    async def subscribe(self, channels: Collection[str], callback: Callback) -> None:
        """Returns when the subscriptions are live; raises Unavailable if that takes too long."""
        for channel in channels:
            self._callbacks[channel] = callback
            self._live.setdefault(channel, asyncio.Event())
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if wanted := [channel for channel in channels if not self._live[channel].is_set()]:
                    await self._join(wanted)
                for channel in channels:
                    await self._live[channel].wait()
        except (TimeoutError, KeyError):
            raise Unavailable(UNREACHABLE) from None

    async def unsubscribe(self, channels: Collection[str]) -> None:
        for channel in channels:
            self._callbacks.pop(channel, None)
            self._live.pop(channel, None)
        async with self._lock:
            # Somebody may have subscribed again while this waited for its turn.
            left = [channel for channel in channels if channel not in self._callbacks]
            if not self._is_connected or not left:
                return
            try:
                await self._pubsub.unsubscribe(*left)
            except _LOST as error:
                log.debug("unsubscribe_failed", error=str(error))

    async def catch_up(self) -> None:
        """Returns when all that was published before was passed on; raises Unavailable."""
        self._has_caught_up.clear()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with self._lock:
                    if not self._is_connected:
                        raise Unavailable(UNREACHABLE)
                    await self._pubsub.ping(_CAUGHT_UP)
                await self._has_caught_up.wait()
        except _LOST:
            raise Unavailable(UNREACHABLE) from None

    @property
    def is_live(self) -> bool:
        """Connected, and no gap is left to be read up."""
        return self._is_connected and not self._has_gap

    @property
    def _is_connected(self) -> bool:
        pubsub = self._pubsub
        return bool(pubsub and pubsub.connection and pubsub.connection.is_connected)

    async def _run(self) -> None:
        pause_seconds = 0.05
        while True:
            try:
                await self._open()
                pause_seconds = 0.05
                while True:
                    await self._run_once()
            except _LOST as error:
                log.warning("feed_lost", error=type(error).__name__, why=str(error))
            await self._close()
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311
            pause_seconds = min(pause_seconds * 2, 2.0)

    async def _join(self, channels: Collection[str]) -> None:
        async with self._lock:
            if not self._is_connected:
                return
            try:
                await self._pubsub.subscribe(*channels)
            except _LOST as error:
                # The next connection will subscribe to these channels with all others.
                log.debug("subscribe_failed", error=str(error))

    async def _open(self) -> None:
        # The client does not bear two at once: each would connect, and only one be heard.
        async with self._lock:
            self._pubsub = _PubSub(await pubsub_pool(self._client))
            if self._callbacks:
                await self._pubsub.subscribe(*self._callbacks)
            else:
                await self._pubsub.connect()
        self._has_gap = True
        self._close_gap()

    def _close_gap(self) -> None:
        """What was read before all subscriptions are live may be outdated unseen: only then."""
        if self._has_gap and all(live.is_set() for live in self._live.values()):
            self._has_gap = False
            self._on_gap()

    async def _close(self) -> None:
        for live in self._live.values():
            live.clear()
        async with self._lock:
            if not self._pubsub:
                return
            pubsub, self._pubsub = self._pubsub, None
            try:
                async with asyncio.timeout(1):
                    await pubsub.aclose()
            except _LOST as error:
                log.debug("feed_close_failed", error=str(error))

    async def _run_once(self) -> None:
        """Handle one message; after a silence ask whether the other side is still there."""
        if not self._is_connected:
            raise redis.ConnectionError
        response = await self._read()
        if response is None:
            await self._pubsub.ping()
            response = await self._read()
            if response is None:
                raise TimeoutError
        if response[0] == b"message":
            if callback := self._callbacks.get(response[1].decode()):
                callback(response[2])
            return
        message = await self._pubsub.handle_message(response)
        if message["type"] == "pong" and message["data"] == _CAUGHT_UP:
            self._has_caught_up.set()
        if message["type"] == "subscribe":
            if live := self._live.get(message["channel"].decode()):
                live.set()
            self._close_gap()

    async def _read(self) -> Any:
        """What came next, None after a silence.

        As the library's `get_message` reads it, without what that does to repeat and to measure
        each read, a quarter of the time that a message takes.
        """
        return await self._pubsub.connection.read_response(
            timeout=SILENCE_SECONDS, disconnect_on_error=False, push_request=True
        )


class _PubSub(redis.client.PubSub):
    """Does not connect again behind the feed's back: nobody would hear of the gap."""

    async def _reconnect(self, *_: object, **__: object) -> None:
        pass
