"""The shared Dragon's Valkey, past its API."""

from typing import Any

import redis.asyncio as redis

# Without deliveries: those of an earlier test's tasks may come at any moment.
COUNT = """
local count = 0
for _, key in ipairs(redis.call('KEYS', 'dragon:*:job:*')) do
  if redis.call('HGET', key, 'kind') ~= 'hook' then count = count + 1 end
end
return count
"""


class Broker:
    """A look into the shared Dragon's Valkey, past its API."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    async def count_jobs(self) -> int:
        """All that was ever accepted: a request that was refused leaves it as it was."""
        answer: Any = self.client.eval(COUNT, 0)
        return int(await answer)

    async def attempts(self, key: str) -> int:
        [name] = {name async for name in self.client.scan_iter(f"dragon:*:job:{key}", count=10_000)}
        answer: Any = self.client.hget(name, "attempt")
        return int(await answer)
