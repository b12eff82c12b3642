"""Streams statuses, one JSON object a line, each flushed as it happens."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import structlog
from aiohttp import hdrs, web
from aiohttp.http_writer import StreamWriter

from dragon.engine.watching import Watch
from dragon.errors import DragonError
from dragon.http.connections import reset
from dragon.http.errors import BUG, error_body
from dragon.schemas import Update, encode

log = structlog.get_logger()

_HEADERS = {
    hdrs.CONTENT_TYPE: "application/x-ndjson",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",
}


class Streams:
    """Streams as one face words them, to clients that have `timeout_seconds` to take each line."""

    def __init__(self, translate: Callable[[Update], bytes], timeout_seconds: float) -> None:
        self._lines = _Lines(translate)
        self._outbox = _Outbox()
        self._timeout_seconds = timeout_seconds

    async def send(
        self, request: web.Request, updates: Sequence[Update], watch: Watch
    ) -> web.StreamResponse:
        """A line with all statuses, then one for each newer status, until all jobs have ended.

        An error after the first byte becomes the last line: the client sees it, and no half line.
        """
        stream = _Stream(request, self._lines, self._outbox, self._timeout_seconds)
        with watch:
            try:
                await stream.begin(updates)
                # Thousands wait for hours: what is held meanwhile is what a stream costs.
                del updates
                await stream.follow(watch)
            except TimeoutError:
                log.warning("slow_reader_dropped", path=request.path)
                if request.transport:
                    reset(request.transport)
            except ConnectionError:
                log.debug("reader_left", path=request.path)
        return stream.response


class _Lines:
    """Makes the line of an update once for all who stream it, for they do so one after another."""

    def __init__(self, translate: Callable[[Update], bytes]) -> None:
        self._translate = translate
        self._update: Update | None = None
        self._line = self._chunk = b""

    def all(self, updates: Sequence[Update]) -> bytes:
        return b"[" + b",".join(map(self._translate, updates)) + b"]\n"

    def line(self, update: Update) -> bytes:
        if update is not self._update:
            self._line = self._translate(update) + b"\n"
            self._chunk = b"%x\r\n%b\r\n" % (len(self._line), self._line)
            self._update = update
        return self._line

    def chunk(self, update: Update) -> bytes:
        """The line as HTTP/1.1 frames it."""
        self.line(update)
        return self._chunk


class _Outbox:
    """What goes out in one turn of the loop: one write for each client, however many lines."""

    def __init__(self) -> None:
        self._chunks: dict[asyncio.Transport, list[bytes]] = {}

    def post(self, transport: asyncio.Transport, chunk: bytes) -> None:
        if not self._chunks:
            # Before the task of any stream that is woken now: it may have more to write, or all.
            asyncio.get_running_loop().call_soon(self._flush)
        self._chunks.setdefault(transport, []).append(chunk)

    def _flush(self) -> None:
        posted, self._chunks = self._chunks, {}
        for transport, chunks in posted.items():
            if not transport.is_closing():
                transport.write(b"".join(chunks))


class _Stream:
    """Writes to one client: at once where news are heard, or as its reader is ready for more."""

    __slots__ = ("_is_chunked", "_lines", "_outbox", "_request", "_timeout_seconds", "response")

    def __init__(
        self, request: web.Request, lines: _Lines, outbox: _Outbox, timeout_seconds: float
    ) -> None:
        self._request = request
        self._lines = lines
        self._outbox = outbox
        self._timeout_seconds = timeout_seconds
        self.response = web.StreamResponse(headers=_HEADERS)

    async def begin(self, updates: Sequence[Update]) -> None:
        await self.response.prepare(self._request)
        self._is_chunked = hdrs.TRANSFER_ENCODING in self.response.headers
        # Encoded already, they would be half a kilobyte for as long as the client waits.
        self.response.headers.clear()
        await self._post(self._lines.all(updates))

    async def follow(self, watch: Watch) -> None:
        watch.sink = self
        try:
            await self._drain()
            while updates := await watch.changes():
                await self._drain()
                await self._post(b"".join(map(self._lines.line, updates)))
                del updates
        except DragonError as error:
            await self._write(encode(error_body(error, self._request)) + b"\n")
        except (TimeoutError, ConnectionError):
            raise
        except Exception:
            log.exception("stream_bug", path=self._request.path)
            await self._write(encode({"status": "error", "message": BUG}) + b"\n")

    def take(self, update: Update) -> bool:
        """Write a line without waking the stream's task; False if the task has to."""
        transport = self._request.transport
        if not transport or transport.is_closing() or not self._is_chunked:
            return False
        # What is not read must not grow: the newest status of each job waits in the watch instead.
        if self._request.protocol.writing_paused:
            return False
        try:
            chunk = self._lines.chunk(update)
        except Exception:
            # A bug, which the task meets again and tells: others must hear of their updates.
            return False
        self._outbox.post(transport, chunk)
        return True

    async def _write(self, data: bytes) -> None:
        await self._drain()
        await self._post(data)

    async def _post(self, data: bytes) -> None:
        """Hand over to the transport: nobody else holds the data while it waits for the client."""
        await cast(StreamWriter, self._request.writer).write(data, drain=False)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._timeout_seconds):
            await self._request.writer.drain()
