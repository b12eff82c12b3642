"""Looks up names of hosts in threads of their own, so that slow ones hold up no others."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_THREADS = 512
"""More than jobs may wait for at once. The system gives a name up after half a minute, so there may
be twice as many lookups as web hooks on their way."""
WAIT_SECONDS = 10.0
"""For one of them: a source may have ten minutes, and trying again later is better."""

T = TypeVar("T")


class Names(AbstractResolver):
    """As the system knows them.

    The event loop's own threads are few, and Valkey's names are looked up there, too. Those that
    nobody answers for would keep all others waiting, and the process from ending.
    """

    def __init__(self, threads: int = MAX_THREADS, wait_seconds: float = WAIT_SECONDS) -> None:
        self._threads = asyncio.Semaphore(threads)
        self._wait_seconds = wait_seconds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        flags, kind = socket.AI_ADDRCONFIG, socket.SOCK_STREAM
        look_up = partial(socket.getaddrinfo, host, port, family, kind, flags=flags)
        await self._wait_for_thread()
        # aiohttp lets a lookup go on whose request was given up: it is counted until it ends.
        try:
            found = await asyncio.wrap_future(_start(look_up))
        finally:
            self._threads.release()
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family, _, protocol, _, address in found
        ]

    async def _wait_for_thread(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._threads.acquire()
        except TimeoutError:
            # What aiohttp takes for a failed lookup.
            raise OSError("too many names are being looked up") from None

    async def close(self) -> None:
        """Nothing: a thread cannot be stopped, and keeps nobody waiting."""


def _start(call: Callable[[], T]) -> Future[T]:
    """Make the call in a thread that need not end before the process does."""
    future = Future[T]()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
