"""Which ends a client has been told, as the ids of events say and its next request brings back."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from zlib import crc32

_ID = re.compile(r"\A([0-9a-f]{8})\.(?:(end)|([0-9]{1,9})(?:\.([\w-]+))?)\Z", re.ASCII)


class Seen:
    """A server remembers no connection: another one may answer the client that comes back.

    So the id of an event says all that the client knows by then: `LIST.COUNT.BITS`. LIST is a
    checksum of the tasks' keys; the first COUNT tasks have ended, and of those behind them the
    ones whose bits are set. Tasks end roughly in order, so that BITS is short; at worst it is
    a sixth of a character for each task. `LIST.end` says that nothing is left.
    """

    __slots__ = ("_ends", "_list", "_places", "is_over")

    def __init__(self, keys: Iterable[str], event_id: str = "") -> None:
        self._places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        joined = "".join(self._places).encode(errors="surrogatepass")
        self._list = b"%08x" % crc32(joined)
        self._ends = 0
        self.is_over = False
        """Whether the client has read the end of the stream, too."""
        self._read(event_id)

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return len(self._places)

    def has_end(self, key: str) -> bool:
        return bool(self._ends >> self._places[key] & 1)

    def note_end(self, key: str) -> None:
        self._ends |= 1 << self._places[key]

    def event_id(self) -> bytes:
        count = (~self._ends & (self._ends + 1)).bit_length() - 1
        rest = self._ends >> count
        if not rest:
            return b"%b.%d" % (self._list, count)
        bits = urlsafe_b64encode(rest.to_bytes((rest.bit_length() + 7) // 8, "little"))
        return b"%b.%d.%b" % (self._list, count, bits.rstrip(b"="))

    def last_id(self) -> bytes:
        return b"%b.end" % self._list

    def _read(self, event_id: str) -> None:
        """An id that is not of these tasks counts for nothing: rather tell twice than never."""
        match = _ID.match(event_id)
        if not match or match[1].encode() != self._list:
            return
        everything = (1 << len(self._places)) - 1
        self.is_over = match[2] is not None
        if self.is_over:
            self._ends = everything
            return
        count = min(int(match[3]), len(self._places))
        self._ends = ((1 << count) - 1 | _bits(match[4] or "") << count) & everything


def _bits(text: str) -> int:
    try:
        return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "little")
    except binascii.Error:
        return 0
