"""What a function tells while it runs, on its way from a child to the worker."""

import math
import socket
import time
from collections.abc import Callable
from typing import Any

import msgspec

from dragon.engine.isolation.messages import UNREADABLE, UnreadableReply

TELL_SECONDS = 0.1
FREE = 10
"""A child that tells so many more than its time allows is none of ours."""

MAX_TOLD_BYTES = 1024
"""So few that nothing is nested deeper than Python bears."""

_MARK = b"\xc1"
"""No MessagePack begins with it; JSON follows."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Teller:
    """The child's end: sends the newest value, each tenth of a second, and never waits."""

    def __init__(
        self, connection: socket.socket, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._next = clock()
        self._newest = b""

    def __call__(self, value: Any) -> None:
        """Raises TypeError for what is no JSON, ValueError for too much of it."""
        text = _encode(value)
        if len(text) > MAX_TOLD_BYTES:
            raise ValueError(f"{len(text)} bytes were told; at most {MAX_TOLD_BYTES} fit")
        self._newest = _MARK + text
        if self._clock() >= self._next:
            self._send()

    def close(self) -> None:
        """Send what was told last; what a thread or library tells from now on stays here."""
        if self._newest:
            self._send()
        self._next = math.inf

    def _send(self) -> None:
        """Where the worker has too much to read, the value waits, for itself or a newer one."""
        self._next = self._clock() + TELL_SECONDS
        try:
            self._connection.send(self._newest, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        self._newest = b""


class Listener:
    """The worker's end, of one call: passes values on as long as they are what a Teller sends."""

    def __init__(
        self, on_told: Callable[[Any], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_told = on_told
        self._clock = clock
        self._began = clock()
        self._heard = 0

    def hears(self, message: bytes) -> bool:
        """Whether this was told, and is no answer. Raises UnreadableReply; what `on_told` does."""
        if not message.startswith(_MARK):
            return False
        self._heard += 1
        if self._heard > FREE + (self._clock() - self._began) / TELL_SECONDS:
            raise UnreadableReply("the file crashed its decoder (it told too much)")
        self._on_told(_value(message))
        return True


def _value(message: bytes) -> Any:
    text = message[len(_MARK) :]
    if len(text) <= MAX_TOLD_BYTES:
        try:
            return _decode(text)
        except UNREADABLE:
            pass
    raise UnreadableReply("the file crashed its decoder (it told what is unreadable)")
