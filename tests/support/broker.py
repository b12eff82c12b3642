"""The shared Dragon's Valkey, past its API."""

from typing import Any

import redis.asyncio as redis


class Broker:
    """A look into the shared Dragon's Valkey, past its API."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    async def count_jobs(self) -> int:
        """All that was ever accepted: a request that was refused leaves it as it was."""
        # A scan may come by the same key twice.
        return len({key async for key in self.client.scan_iter("dragon:*:job:*", count=10_000)})

    async def attempts(self, key: str) -> int:
        [name] = {name async for name in self.client.scan_iter(f"dragon:*:job:{key}", count=10_000)}
        answer: Any = self.client.hget(name, "attempt")
        return int(await answer)
