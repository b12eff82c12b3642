"""Connections to servers that may be hostile: an answer must not come in too many pieces."""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

MAX_HEADS = 16
"""Of one request: interim answers, and the one that is meant."""
MIN_CONTENT = 2 / 3
"""Of a body as it came: the rest is what says where its chunks begin and end."""
_HEAD_BYTES = 4096
_BODY_BYTES = 64 * 1024


class Shattered(aiohttp.ClientError):
    """Each piece costs the event loop time, however small it is."""


class Connector(aiohttp.TCPConnector):
    """Its connections end where an answer has more than `MAX_HEADS`, or hardly any content."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        answers: Any = _Answers
        self._factory = partial(answers, loop=self._loop)


class _Answers(ResponseHandler):
    """aiohttp takes apart all that was read at once: in smaller portions it can be stopped.

    A flood of interim answers of 19 bytes, or of chunks of one, would hold up the event loop for
    seconds, and the answers fill the memory.
    """

    _heads = 0
    _received = 0
    _body: StreamReader | None = None

    def set_response_params(self, **params: Any) -> None:
        self._heads, self._body = 0, None
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        self._heads += 1
        self._received, self._body = 0, data[1]
        if self._heads <= MAX_HEADS:
            super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        start = 0
        while start < len(data) or not start:
            end = start + (_BODY_BYTES if self._has_body else _HEAD_BYTES)
            super().data_received(data[start:end])
            self._received += len(data[start:end])
            if self._is_shattered and self.transport:
                self._end()
                return
            start = end

    @property
    def _has_body(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    @property
    def _is_shattered(self) -> bool:
        if self._heads > MAX_HEADS:
            return True
        content = self._body.total_bytes if self._body and self._has_body else self._received
        return self._received > _BODY_BYTES and content < self._received * MIN_CONTENT

    def _end(self) -> None:
        assert self.transport  # noqa: S101 - as the caller knows
        if self._body and self._has_body:
            self._body.set_exception(Shattered())
        self.set_exception(Shattered())
        self.transport.abort()
