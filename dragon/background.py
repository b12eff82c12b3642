"""Side tasks of a process: ended together, never dead unseen, and what must not be cut short."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import structlog

from dragon.errors import DragonError

T = TypeVar("T")
log = structlog.get_logger()

CANCEL_SECONDS = 1.0


class SideTaskDied(DragonError):
    """A side task of this process failed: a bug, which its log tells."""


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, but no longer."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for all of `work`, however often this is cancelled meanwhile; raises that afterwards.

    For what leaves something behind if it is cut short.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # or asyncio complains that nobody asked
    raise cancellation


def stop_signal() -> asyncio.Event:
    """Set by SIGTERM and SIGINT; a side task that dies sends the first to its own process."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


class Background:
    """Owns side tasks for the time of its context; one that fails stops the whole process.

    A server whose feed has died still answers, wrongly: a restart is the better end.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all tasks. Raises SideTaskDied if one had failed, so that the process says so."""
        # Again and again, for a library may lose a cancellation that comes just as it fails.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
        if self._failure:
            failure, self._failure = self._failure, None
            raise SideTaskDied("a part of this process failed, see its log") from failure

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = error
            log.critical("side_task_died", task=task.get_name(), exc_info=error)
            os.kill(os.getpid(), signal.SIGTERM)
