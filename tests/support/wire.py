"""What goes over a connection, as it is."""

import asyncio
import json
from typing import Any

import aiohttp

from tests.support.waiting import DEADLINE_SECONDS


async def send_raw(url: str, data: bytes) -> bytes:
    """What a server answers to these very bytes, until it closes; empty if it just closes."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            # Of what it was sent, a server need not have read all.
            writer.transport.abort()


async def next_line(response: aiohttp.ClientResponse) -> Any:
    """What the next line of a stream says."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return json.loads(await response.content.readline())


async def read_lines(response: aiohttp.ClientResponse) -> list[Any]:
    """All that is left of a stream, line by line."""
    return [json.loads(line) async for line in response.content]
