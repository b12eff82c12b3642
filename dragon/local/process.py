"""A child process that is kept running and never outlives its parent."""

import asyncio
import functools
import os
import socket
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from dragon.background import Background
from dragon.errors import InvalidSettings
from dragon.kernel import die_with_parent

log = structlog.get_logger()

STOP_SECONDS = 5.0
HEALTHY_SECONDS = 10.0
REFUSED = InvalidSettings.exit_code


class Process:
    """A child process that is started again when it dies, later and later if it keeps dying.

    One that ends with REFUSED said why itself: starting it again would be in vain. `listener` is
    passed on, and closed when the process is stopped: whoever still connects is told so at once.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        listener: socket.socket | None = None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.is_refused = False
        self._on_refused = on_refused
        self._command = command
        self._environment = environment
        self._listener = listener
        self._child: asyncio.subprocess.Process | None = None
        self._background = Background()

    async def __aenter__(self) -> Self:
        await self._start()
        self._background.start(self._run(), self.name)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL to what has not ended in time."""
        await self._background.close()
        if self._child and self._child.returncode is None:
            await self._end(self._child, seconds)
        if self._listener:
            self._listener.close()

    async def _end(self, child: asyncio.subprocess.Process, seconds: float) -> None:
        child.terminate()
        try:
            async with asyncio.timeout(seconds):
                await child.wait()
        except TimeoutError:
            log.warning("process_killed", process=self.name)
            child.kill()
            await child.wait()

    async def _start(self) -> None:
        # A session of its own, so that Ctrl-C on the terminal reaches the supervisor alone.
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            pass_fds=[self._listener.fileno()] if self._listener else [],
            start_new_session=True,
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )

    async def _run(self) -> None:
        pause_seconds = 0.1
        while True:
            began = asyncio.get_running_loop().time()
            assert self._child is not None  # noqa: S101
            code = await self._child.wait()
            if code == REFUSED:
                self.is_refused = True
                self._on_refused()
                return
            log.error("process_died", process=self.name, code=code)
            if asyncio.get_running_loop().time() - began > HEALTHY_SECONDS:
                pause_seconds = 0.1
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 5.0)
            try:
                await self._start()
            except OSError as error:
                # There is no memory, say. The next turn finds the one before dead, and tries again.
                log.error("process_not_started", process=self.name, error=error.strerror)  # noqa: TRY400
