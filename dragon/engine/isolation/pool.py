"""The decoder children of one worker: hands calls to free ones, replaces those that end."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Self, TypeVar

import structlog

from dragon.engine.isolation.calls import IsolatedBug, packed, unpacked
from dragon.engine.isolation.messages import UnreadableReply
from dragon.engine.isolation.process import Child, DecoderSettings, NotDelivered, NotStarted
from dragon.errors import TaskInterrupted

__all__ = ["DecoderSettings", "Decoders", "IsolatedBug"]

T = TypeVar("T")
log = structlog.get_logger()

STOPPING = "the worker is stopping"
NONE_STARTED = "no decoder could be started; the log of the worker says why"

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0


class Decoders:
    """Warm children for `call`; an async context manager, after which none of them is left.

    Entering waits until each child is ready or could not be started, which is logged and tried
    again in the background.
    """

    def __init__(self, settings: DecoderSettings) -> None:
        self.confinement: dict[str, str] = {}
        """What is in force, as the newest child told: measure, and how or `none: <reason>`."""
        self._settings = settings
        self._children: set[Child] = set()
        self._idle: deque[Child] = deque()
        self._waiters: deque[asyncio.Future[Child]] = deque()
        self._tasks = asyncio.TaskGroup()
        self._seats: list[asyncio.Task[None]] = []
        self._spares = 0 if settings.count else 1
        """How many more to start when all are busy: one has its next file ready while another
        hands over what it made."""
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        count = self._settings.count or len(os.sched_getaffinity(0))
        tried = [self._add_seat() for _ in range(count)]
        try:
            for event in tried:
                await event.wait()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for seat in self._seats:
            seat.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(TaskInterrupted(STOPPING))
        for child in self._children:
            child.kill()
        await self._tasks.__aexit__(None, None, None)

    @property
    def pids(self) -> set[int]:
        """The children that are alive."""
        return {child.pid for child in self._children if child.alive}

    async def call(self, function: Callable[..., T], *arguments: Any, timeout_seconds: float) -> T:
        """Run a plain function of a module in a child, as `Context.isolated` tells.

        `timeout_seconds` count from when a child runs it, and otherwise bound only the wait for
        children none of which can be started. Raises TaskFailed, TaskInterrupted; IsolatedBug
        with the traceback; ValueError for a call that cannot be sent.
        """
        while True:
            child = await self._take(timeout_seconds)
            try:
                with packed(function, arguments) as packet:
                    answer = await child.ask(packet, timeout_seconds)
                return unpacked(function, answer)
            except NotDelivered:
                continue
            except UnreadableReply:
                child.kill()
                raise
            finally:
                self._give_back(child)

    async def _take(self, timeout_seconds: float) -> Child:
        """The next free child, first come, first served."""
        if self._closed:
            raise TaskInterrupted(STOPPING)
        while self._idle:
            child = self._idle.popleft()
            if child.alive:
                return child
        if self._spares:
            self._spares -= 1
            self._add_seat()
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await self._wait(waiter, timeout_seconds)
        except asyncio.CancelledError:
            if not waiter.cancel() and waiter.exception() is None:
                self._give_back(waiter.result())  # it came at the moment of the cancellation
            raise
        return waiter.result()

    async def _wait(self, waiter: asyncio.Future[Child], timeout_seconds: float) -> None:
        while not waiter.done():
            await asyncio.wait([waiter], timeout=timeout_seconds)
            if not waiter.done() and not self.pids:
                waiter.set_exception(TaskInterrupted(NONE_STARTED))

    def _give_back(self, child: Child) -> None:
        if not child.alive:
            return
        if child.retired:
            child.kill()
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self._idle.append(child)

    def _add_seat(self) -> asyncio.Event:
        """Start a child that is replaced when it ends; set once that was tried."""
        tried = asyncio.Event()
        self._seats.append(self._tasks.create_task(self._keep(tried)))
        return tried

    async def _keep(self, tried: asyncio.Event) -> None:
        """Keep one seat filled. A child that has served enough stays until the next is ready."""
        failures = 0
        worn: Child | None = None
        while True:
            await asyncio.sleep(_pause_seconds(failures))
            try:
                child = await Child.start(self._settings, self._tasks)
            except (NotStarted, OSError) as error:
                failures += 1
                log.warning("decoder_not_started", reason=str(error), failures=failures)
                tried.set()
                continue
            self._admit(child)
            tried.set()
            if worn is not None:
                self._tasks.create_task(self._dismiss(worn))
            await child.spent.wait()
            failures = 0 if child.served else failures + 1
            worn = child

    def _admit(self, child: Child) -> None:
        if child.confinement != self.confinement:
            self.confinement = child.confinement
            log.info("decoders_confined", **child.confinement)
        self._children.add(child)
        self._give_back(child)

    async def _dismiss(self, child: Child) -> None:
        """Now, or once it is given back: a call may have taken it, and not have begun to ask."""
        child.retired = True
        if child in self._idle:
            self._idle.remove(child)
            child.kill()
        await child.gone()
        self._children.discard(child)


def _pause_seconds(failures: int) -> float:
    """None before the first start and after one failure; then longer and longer."""
    if failures < 2:
        return 0
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 20), LONGEST_PAUSE_SECONDS)
