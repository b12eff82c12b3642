"""A Valkey that a test may kill, stop and start again."""

import asyncio
import subprocess
from pathlib import Path
from typing import Self

import psutil
import redis.asyncio as redis
from redis.exceptions import RedisError

from dragon.store.embedded import EmbeddedValkey
from tests.support.waiting import DEADLINE_SECONDS, until


class Broker:
    """The Valkey that comes with Dragon, with the options that it comes with."""

    def __init__(self, data: Path) -> None:
        self._valkey = EmbeddedValkey(data)
        self.url = self._valkey.url
        self.socket = self.url.removeprefix("unix://")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.process.resume()
        await self.stop()
        self._valkey.close()

    async def start(self) -> None:
        """Returns when it answers."""
        self._child = subprocess.Popen(self._valkey.command())  # noqa: ASYNC220
        self.process = psutil.Process(self._child.pid)
        await until(self._answers)

    async def stop(self) -> None:
        self._child.terminate()
        await asyncio.to_thread(self._child.wait, DEADLINE_SECONDS)

    async def kill(self) -> None:
        self._child.kill()
        await asyncio.to_thread(self._child.wait, DEADLINE_SECONDS)

    async def _answers(self) -> bool:
        try:
            async with redis.Redis(unix_socket_path=self.socket) as client:
                return bool(await client.ping())
        except (RedisError, OSError):
            return False
