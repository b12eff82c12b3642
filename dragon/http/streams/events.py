"""Statuses as server-sent events, which a browser's EventSource reads and asks for again."""

import random
from collections.abc import Sequence
from typing import Any

from aiohttp import hdrs, web

from dragon.http.streams.ndjson import Lines, chunk
from dragon.http.streams.seen import Seen
from dragon.schemas import Update, encode

CONTENT_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
HEARTBEAT_SECONDS = 15

_PAUSE_MILLISECONDS = (1000, 3000)
"""Those who all lost their server shall not all come back at one moment."""


def wants_events(request: web.Request) -> bool:
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    return any(part.partition(";")[0].strip() == CONTENT_TYPE for part in accepted.split(","))


class Events:
    """The events of one stream: data as NDJSON has it, and ids that say what has been told."""

    __slots__ = ("_last_id", "_lines", "_seen")

    content_type = CONTENT_TYPE
    ping = b":\n\n"

    def __init__(self, lines: Lines, request: web.Request) -> None:
        self._lines = lines
        self._last_id = request.headers.get(LAST_EVENT_ID, "")
        self._seen = Seen(())

    @property
    def is_over(self) -> bool:
        """Whether the client knows all, and comes back since a browser does so after any end."""
        return self._seen.is_over

    def unseen(self, keys: Sequence[str]) -> Sequence[str]:
        """Those whose end the client has not been told."""
        self._seen = seen = Seen(keys, self._last_id)
        return [key for key in keys if not seen.has_end(key)]

    def news(self, updates: Sequence[Update]) -> Sequence[Update]:
        if self._seen.count:
            return updates
        unseen = set(self.unseen([update.key for update in updates]))
        return [update for update in updates if update.key in unseen]

    def first(self, updates: Sequence[Update]) -> bytes:
        head = f"retry: {random.randint(*_PAUSE_MILLISECONDS)}\n"  # noqa: S311
        return head.encode() + self._event(updates, self._lines.first(updates) if updates else b"")

    def one(self, update: Update) -> bytes:
        line = self._lines.one(update)
        return self._event([update], line) if update.is_final else _data(line)

    def one_chunk(self, update: Update) -> bytes:
        return chunk(self.one(update))

    def failure(self, body: Any) -> bytes:
        return reconnect_event(body)

    @property
    def end(self) -> bytes:
        return b"id: %b\nevent: end\ndata: {}\n\n" % self._seen.last_id()

    def _event(self, updates: Sequence[Update], line: bytes) -> bytes:
        """With the line the client learns that these have ended, and by the id it shows that."""
        for update in updates:
            if update.is_final:
                self._seen.note_end(update.key)
        return b"id: %b\n%b" % (self._seen.event_id(), _data(line))


def reconnect_event(body: Any) -> bytes:
    """Why nothing more comes here; the client is to ask again."""
    return b"event: reconnect\n" + _data(encode(body) + b"\n")


def _data(line: bytes) -> bytes:
    return b"data: %b\n" % line if line else b"\n"
