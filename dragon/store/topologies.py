"""Clients of a Valkey that is more than one server: watched by Sentinels, or a cluster."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ClusterError, RedisClusterException, ResponseError, SlotNotCoveredError

from dragon.urls import ValkeyServers

MAX_CONNECTIONS = 16


def never_again() -> Retry:
    return Retry(NoBackoff(), 0)


def pool_options(timeout_seconds: float) -> dict[str, Any]:
    """Of a pool that keeps callers waiting for a free connection, up to the timeout."""
    return {
        "max_connections": MAX_CONNECTIONS,
        "timeout": timeout_seconds,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": never_again(),
        "retry_on_error": [],
    }


def connect_by_sentinel(servers: ValkeyServers, timeout_seconds: float) -> redis.Redis:
    """A client whose new connections go to whichever server the Sentinels call the primary."""
    sentinel = _Sentinels(  # type: ignore[no-untyped-call]
        servers.hosts,
        # The first that is asked may be the one that is gone: there must be time for others.
        sentinel_kwargs={
            "socket_timeout": timeout_seconds / 4,
            "socket_connect_timeout": timeout_seconds / 4,
            "retry": never_again(),
        },
    )
    pool = _SentinelPool(  # type: ignore[no-untyped-call]
        servers.service,
        sentinel,
        username=servers.username,
        password=servers.password,
        db=servers.db,
        **pool_options(timeout_seconds),
    )
    return redis.Redis.from_pool(pool)


class _Sentinels(Sentinel):
    async def discover_master(self, service_name: str) -> Any:
        """Theirs moves who answered to the front, and loses some if two callers do so at once."""
        asking = copy.copy(self)
        asking.sentinels = list(self.sentinels)
        address = await super(_Sentinels, asking).discover_master(service_name)
        self.sentinels = asking.sentinels
        return address


class _SentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class Cluster(RedisCluster):
    """A cluster's client that gives up in time, and then learns anew which node has which keys.

    It repeats a command only when a node refused to run it, as its keys lie on another: that is
    no retry of a write that may have landed.
    """

    def __init__(self, servers: ValkeyServers, timeout_seconds: float) -> None:
        options: dict[str, Any] = {
            "username": servers.username,
            "password": servers.password,
            # There must be time to ask another node where things are, before or after.
            "socket_timeout": timeout_seconds / 2,
            "socket_connect_timeout": timeout_seconds / 2,
        }
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in servers.hosts],
            # The rest works on while the keys of some slots are out of reach.
            require_full_coverage=False,
            # Otherwise every fifth key that moved would cut all connections, busy ones too.
            reinitialize_steps=0,
            retry=never_again(),
            **options,
        )
        self._timeout_seconds = timeout_seconds
        self._node_options = options

    async def initialize(self, *args: Any, **options: Any) -> "Cluster":
        try:
            await super().initialize(*args, **options)
        except BaseException as error:
            self._start_elsewhere()
            if isinstance(error, RedisClusterException):
                raise redis.ConnectionError(str(error)) from error
            raise
        return self

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        async with self.deadline():
            # Without the map of the cluster the command would go to any node, dead ones too.
            await self.initialize()
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> "_Pipeline":
        return _Pipeline(self, transaction)

    async def aclose(self) -> None:
        await super().aclose()
        # That does nothing after a failure, when some connections are still open.
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except (*self.ERRORS_ALLOW_RETRY, ClusterError, TimeoutError) as error:
            self._initialize = True
            # The last is raised of nodes that send who asks from one to the other and back.
            if isinstance(error, SlotNotCoveredError | ClusterError):
                raise redis.ConnectionError(str(error)) from error
            raise

    async def any_node(self) -> redis.ConnectionPool:
        """For publish and subscribe: the nodes pass all messages on to each other."""
        async with self.deadline():
            await self.initialize()
        node = random.choice(self.get_nodes())  # noqa: S311
        return redis.ConnectionPool(
            host=node.host, port=node.port, retry=never_again(), **self._node_options
        )

    async def describe_primaries(
        self, sections: Collection[str], options: Collection[str]
    ) -> dict[str, dict[str, Any]]:
        async with self.deadline():
            await self.initialize()
        nodes = self.get_primaries()
        answers = await asyncio.gather(
            *(_describe(self, sections, options, target_nodes=node) for node in nodes)
        )
        return {node.name: answer for node, answer in zip(nodes, answers, strict=True)}

    def _start_elsewhere(self) -> None:
        """Nobody answered: the next try begins with another node, and with those in the URL."""
        for node in self.get_primaries()[:1]:
            self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
        for node in self.startup_nodes:
            self.nodes_manager.startup_nodes.setdefault(node.name, node)


class _Pipeline(ClusterPipeline):
    """Sends to each node what lies there; all that takes time is in `execute`, with a deadline."""

    cluster_client: Cluster
    _event_dispatcher: Any = None

    async def __aenter__(self) -> "_Pipeline":
        return self

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> Any:
        async with self.cluster_client.deadline():
            return await super().execute(raise_on_error, allow_redirections)


async def pubsub_pool(client: redis.Redis) -> redis.ConnectionPool:
    """Where the one connection comes from that listens to everything."""
    return await client.any_node() if isinstance(client, Cluster) else client.connection_pool


async def describe_servers(
    client: redis.Redis, sections: Collection[str], options: Collection[str]
) -> dict[str, dict[str, Any]]:
    """What servers that take writes say of themselves, by address; the only one is called ''.

    Sections of INFO, and those options that they let Dragon read.
    """
    if isinstance(client, Cluster):
        return await client.describe_primaries(sections, options)
    return {"": await _describe(client, sections, options)}


async def _describe(
    client: Any, sections: Collection[str], options: Collection[str], **where: Any
) -> dict[str, Any]:
    facts: dict[str, Any] = await client.info(*sections, **where)
    with suppress(ResponseError):
        facts |= await client.config_get(*options, **where)
    return facts
