"""Statuses as NDJSON: one JSON object a line, the first line the list of all."""

from collections.abc import Callable, Sequence
from typing import Any

from dragon.schemas import Update, encode


class Lines:
    """Words updates as one face does; each line is made once for all streams that send it.

    They do so one after another, so that the last line is all that has to be remembered.
    """

    content_type = "application/x-ndjson"
    ping = b"\n"
    end = b""
    is_over = False

    def __init__(self, translate: Callable[[Update], bytes]) -> None:
        self._translate = translate
        self._update: Update | None = None
        self._line = self._chunk = b""

    def unseen(self, keys: Sequence[str]) -> Sequence[str]:
        return keys

    def news(self, updates: Sequence[Update]) -> Sequence[Update]:
        return updates

    def first(self, updates: Sequence[Update]) -> bytes:
        return b"[" + b",".join(map(self._translate, updates)) + b"]\n"

    def one(self, update: Update) -> bytes:
        if update is not self._update:
            self._line = self._translate(update) + b"\n"
            self._chunk = chunk(self._line)
            self._update = update
        return self._line

    def one_chunk(self, update: Update) -> bytes:
        self.one(update)
        return self._chunk

    def failure(self, body: Any) -> bytes:
        return encode(body) + b"\n"


def chunk(data: bytes) -> bytes:
    """As HTTP/1.1 frames it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
