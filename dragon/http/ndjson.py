"""Streams statuses, one JSON object a line, each flushed as it happens."""

import asyncio
from collections.abc import Callable

import structlog
from aiohttp import hdrs, web

from dragon.engine.watching import Watch
from dragon.errors import DragonError
from dragon.http.errors import BUG, error_body
from dragon.schemas import Update, encode

log = structlog.get_logger()


class StreamWriter:
    """Writes lines to one client, which has `timeout_seconds` to take each."""

    def __init__(self, request: web.Request, timeout_seconds: float) -> None:
        self._request = request
        self._timeout_seconds = timeout_seconds
        self.response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "application/x-ndjson",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
            }
        )

    async def send(
        self, first_line: bytes, watch: Watch, translate: Callable[[Update], bytes]
    ) -> web.StreamResponse:
        """The first line, then one for each newer status, until all jobs have ended.

        An error after the first byte becomes the last line: the client sees it, and no half line.
        """
        try:
            await self.response.prepare(self._request)
            await self._send_lines(first_line, watch, translate)
        except TimeoutError:
            log.warning("slow_reader_dropped", path=self._request.path)
            if self._request.transport:
                self._request.transport.abort()
        except ConnectionError:
            log.debug("reader_left", path=self._request.path)
        return self.response

    async def _send_lines(
        self, first_line: bytes, watch: Watch, translate: Callable[[Update], bytes]
    ) -> None:
        try:
            await self._write(first_line + b"\n")
            while updates := await watch.changes():
                await self._write(b"".join(translate(update) + b"\n" for update in updates))
        except DragonError as error:
            await self._write(encode(error_body(error, self._request)) + b"\n")
        except (TimeoutError, ConnectionError):
            raise
        except Exception:
            log.exception("stream_bug", path=self._request.path)
            await self._write(encode({"status": "error", "message": BUG}) + b"\n")

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(self._timeout_seconds):
            await self.response.write(data)
