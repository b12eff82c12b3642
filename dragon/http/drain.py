"""How a server leaves: refuse new work, let what waits end in time, then tell it to come again."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from dragon.background import is_set_within
from dragon.engine.watching import Watches
from dragon.errors import Unavailable

STOPPING = "this server is shutting down, ask again soon"
RESTARTING = "this server is restarting, ask again for the status of your tasks"

LAST_LINES_SECONDS = 1.0


class Drain:
    """Off while serving; once on, every API request but those under way gets a 503."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.is_on = False

    @web.middleware
    async def refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(("/health/", "/metrics")):
            return await handler(request)
        if self.is_on:
            raise Unavailable(STOPPING)
        self._active += 1
        self._idle.clear()
        try:
            return await handler(request)
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def run(self, seconds: float) -> None:
        """Returns when all requests have ended; after `seconds` those that wait are ended."""
        self.is_on = True
        if not await is_set_within(self._idle, seconds):
            self._watches.interrupt(RESTARTING)
            await is_set_within(self._idle, LAST_LINES_SECONDS)
