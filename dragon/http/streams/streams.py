"""Streams statuses, each flushed as it happens, in the form that the client asks for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, cast

import structlog
from aiohttp import hdrs, web
from aiohttp.http_writer import StreamWriter
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.engine.watch import Watch
from dragon.errors import DragonError
from dragon.http.answers import BUG, Failure, WrongRequest, error_body
from dragon.http.connections import reset
from dragon.http.describing.routes import Answer, list_of
from dragon.http.streams.events import HEARTBEAT_SECONDS, LAST_EVENT_ID, Events, wants_events
from dragon.http.streams.heartbeats import MAX_SECONDS, Heartbeats
from dragon.http.streams.ndjson import Lines, chunk
from dragon.schemas import Update

log = structlog.get_logger()

_HEADERS = {hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"}


class StreamQuery(Struct, frozen=True, kw_only=True):
    heartbeat: (
        Annotated[int, Meta(ge=1, le=MAX_SECONDS, description="seconds from one beat to the next")]
        | UnsetType
    ) = UNSET


class StreamHeaders(Struct, frozen=True, kw_only=True):
    last_event_id: (
        Annotated[str, Meta(description="of the last event that came, where they went off")]
        | UnsetType
    ) = field(name=LAST_EVENT_ID, default=UNSET)


def streamed(status: type[Struct]) -> dict[int, Answer]:
    """The answers that are a stream of statuses of that type, or the end of one."""
    lines = (list_of(status), status, Failure, WrongRequest)
    words = (
        "A line of JSON each: all statuses, then newer ones, as the last one perhaps an error. "
        "Or, by Accept, the same as events."
    )
    return {
        200: Answer(
            words,
            {Lines.content_type: lines, Events.content_type: (str,)},
            {"X-Accel-Buffering": "no, for a proxy is to pass each line on at once"},
        ),
        204: Answer("The last event told of the last end."),
    }


class Streams:
    """Streams as one face words them, to clients that have `timeout_seconds` to take each line."""

    def __init__(
        self,
        translate: Callable[[Update], bytes],
        timeout_seconds: float,
        heartbeats: Heartbeats,
    ) -> None:
        self._lines = Lines(translate)
        self._outbox = _Outbox()
        self._timeout_seconds = timeout_seconds
        self._heartbeats = heartbeats

    def open(self, request: web.Request, heartbeat_seconds: int | None = None) -> "Stream":
        """The answer to a request for a stream: server-sent events if it accepts them."""
        form: Lines | Events = self._lines
        if wants_events(request):
            form = Events(self._lines, request)
            heartbeat_seconds = heartbeat_seconds or HEARTBEAT_SECONDS
        beats = (self._heartbeats, heartbeat_seconds) if heartbeat_seconds else None
        return Stream(request, form, self._outbox, self._timeout_seconds, beats)


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


class Stream:
    """Writes to one client: at once where news are heard, or as its reader is ready for more."""

    __slots__ = (
        "_beats", "_form", "_is_chunked", "_outbox", "_request", "_response", "_timeout_seconds",
    )  # fmt: skip

    def __init__(
        self,
        request: web.Request,
        form: Lines | Events,
        outbox: _Outbox,
        timeout_seconds: float,
        beats: tuple[Heartbeats, int] | None,
    ) -> None:
        self._request = request
        self._form = form
        self._outbox = outbox
        self._timeout_seconds = timeout_seconds
        self._beats = beats

    def unseen(self, keys: Sequence[str]) -> Sequence[str]:
        """The jobs to watch: those whose end the client was not told before it came back."""
        return self._form.unseen(keys)

    async def send(self, updates: Sequence[Update], watch: Watch) -> web.StreamResponse:
        """All statuses at once, then each newer one, until all jobs have ended.

        An error after the first byte becomes the last line: the client sees it, and no half line.
        """
        with watch:
            updates = self._form.news(updates)
            if self._form.is_over:
                return web.Response(status=204)
            headers = _HEADERS | {hdrs.CONTENT_TYPE: self._form.content_type}
            self._response = web.StreamResponse(headers=headers)
            try:
                await self._begin(updates)
                # Thousands wait for hours: what is held meanwhile is what a stream costs.
                del updates
                await self._follow(watch)
            except TimeoutError:
                log.warning("slow_reader_dropped", path=self._request.path)
                if self._request.transport:
                    reset(self._request.transport)
            except ConnectionError:
                log.debug("reader_left", path=self._request.path)
        return self._response

    async def _begin(self, updates: Sequence[Update]) -> None:
        await self._response.prepare(self._request)
        self._is_chunked = hdrs.TRANSFER_ENCODING in self._response.headers
        if not self._is_chunked:
            # A client of HTTP/1.0 sees no other end, even if it asked to keep the connection.
            self._response.force_close()
        # Encoded already, they would be half a kilobyte for as long as the client waits.
        self._response.headers.clear()
        await self._post(self._form.first(updates))

    async def _follow(self, watch: Watch) -> None:
        watch.sink = self
        group = self._beats[0].join(self, self._beats[1]) if self._beats else None
        try:
            await self._drain()
            while updates := await watch.changes():
                await self._drain()
                await self._post(b"".join(map(self._form.one, updates)))
                del updates
            if end := self._form.end:
                await self._write(end)
        except DragonError as error:
            await self._write(self._form.failure(error_body(error, self._request)))
        except (TimeoutError, ConnectionError):
            raise
        except Exception:
            log.exception("stream_bug", path=self._request.path)
            await self._write(self._form.failure(Failure(BUG)))
        finally:
            # A beat after the answer's end would be taken for the beginning of the next.
            if group:
                group.discard(self)

    def take(self, update: Update) -> bool:
        """Write a line without waking the stream's task; False if the task has to."""
        transport = self._request.transport
        if not transport or transport.is_closing() or not self._is_chunked:
            return False
        # What is not read must not grow: the newest status of each job waits in the watch instead.
        if self._request.protocol.writing_paused:
            return False
        try:
            data = self._form.one_chunk(update)
        except Exception:
            # A bug, which the task meets again and tells: others must hear of their updates.
            return False
        self._outbox.post(transport, data)
        return True

    def beat(self) -> None:
        """Nothing where something waits to be taken: beats for those who do not read never pile."""
        transport = self._request.transport
        if transport and not transport.is_closing() and not transport.get_write_buffer_size():
            ping = self._form.ping
            transport.write(chunk(ping) if self._is_chunked else ping)

    async def _write(self, data: bytes) -> None:
        await self._drain()
        await self._post(data)

    async def _post(self, data: bytes) -> None:
        """Hand over to the transport: nobody else holds the data while it waits for the client."""
        await cast(StreamWriter, self._request.writer).write(data, drain=False)

    async def _drain(self) -> None:
        async with asyncio.timeout(self._timeout_seconds):
            await self._request.writer.drain()
