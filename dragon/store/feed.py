"""The one pub/sub connection of a process: channels in, callbacks out, reconnects told."""

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import redis.asyncio as redis
import structlog
from redis.exceptions import RedisError

from dragon.background import Background
from dragon.errors import Unavailable

log = structlog.get_logger()

SILENCE_SECONDS = 5.0
LIVE_SECONDS = 4.0

Callback = Callable[[bytes], None]


class Feed:
    """Delivers messages of channels; `on_gap` is called when some may have been missed.

    Pub/sub only hurries things along: a half-open connection stays silent for good, so silence is
    questioned with a ping, and after every reconnect whoever listens must read the truth again.
    """

    def __init__(self, client: redis.Redis, on_gap: Callable[[], None]) -> None:
        self._client = client
        self._on_gap = on_gap
        self._callbacks: dict[str, Callback] = {}
        self._live: dict[str, asyncio.Event] = {}
        self._pubsub: Any = None
        self._background = Background()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._background.start(self._run(), "feed")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._background.__aexit__(kind, error, trace)
        await self._close()

    async def subscribe(self, channel: str, callback: Callback) -> None:
        """Returns when the subscription is live; raises Unavailable if that takes too long."""
        self._callbacks[channel] = callback
        live = self._live.setdefault(channel, asyncio.Event())
        try:
            async with asyncio.timeout(LIVE_SECONDS):
                if not live.is_set():
                    await self._join(channel)
                await live.wait()
        except TimeoutError:
            raise Unavailable("the store cannot be reached, try again soon") from None

    async def unsubscribe(self, channel: str) -> None:
        self._callbacks.pop(channel, None)
        self._live.pop(channel, None)
        async with self._lock:
            # Somebody may have subscribed again while this waited for its turn.
            if not self._is_connected or channel in self._callbacks:
                return
            try:
                await self._pubsub.unsubscribe(channel)
            except (RedisError, OSError) as error:
                log.debug("unsubscribe_failed", channel=channel, error=str(error))

    @property
    def is_live(self) -> bool:
        return all(live.is_set() for live in self._live.values())

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
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("feed_lost", error=type(error).__name__)
            await self._close()
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311
            pause_seconds = min(pause_seconds * 2, 2.0)

    async def _join(self, channel: str) -> None:
        async with self._lock:
            if not self._is_connected:
                return
            try:
                await self._pubsub.subscribe(channel)
            except (RedisError, OSError) as error:
                # The next connection will subscribe to this channel with all others.
                log.debug("subscribe_failed", channel=channel, error=str(error))

    async def _open(self) -> None:
        # The client does not bear two at once: each would connect, and only one be heard.
        async with self._lock:
            self._pubsub = _PubSub(self._client.connection_pool)
            if self._callbacks:
                await self._pubsub.subscribe(*self._callbacks)
            else:
                await self._pubsub.connect()
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
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("feed_close_failed", error=str(error))

    async def _run_once(self) -> None:
        """Handle one message; after a silence ask whether the other side is still there."""
        if not self._is_connected:
            raise redis.ConnectionError
        message = await self._pubsub.get_message(timeout=SILENCE_SECONDS)
        if message is None:
            await self._pubsub.ping()
            message = await self._pubsub.get_message(timeout=SILENCE_SECONDS)
            if message is None:
                raise TimeoutError
        if message["type"] == "subscribe":
            if live := self._live.get(message["channel"].decode()):
                live.set()
        elif message["type"] == "message" and (
            callback := self._callbacks.get(message["channel"].decode())
        ):
            callback(message["data"])


class _PubSub(redis.client.PubSub):
    """Does not connect again behind the feed's back: nobody would hear of the gap."""

    async def _reconnect(self, *_: object, **__: object) -> None:
        pass
