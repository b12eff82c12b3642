"""The time, as Valkey's own clock has it."""

import time
from datetime import UTC, datetime

DRIFT = 1e-4
"""How much a machine's clock may go wrong, in seconds a second."""


class StoreClock:
    """Valkey's time carried on by this machine's monotonic clock, whatever its wall clock does."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._error_seconds = float("inf")
        self._set_at = time.monotonic()

    def set(self, now_seconds: float, asked_at: float) -> None:
        """Take over what Valkey answered to a question of `asked_at`, on the monotonic clock.

        It may have meant any moment since; of two readings the surer one counts, so that a slow
        answer does not set the clock back.
        """
        answered_at = time.monotonic()
        error_seconds = (answered_at - asked_at) / 2
        if error_seconds > self._error_seconds + DRIFT * (answered_at - self._set_at):
            return
        self._offset = now_seconds - (asked_at + answered_at) / 2
        self._error_seconds = error_seconds
        self._set_at = answered_at

    def now(self) -> float:
        """Unix time in seconds."""
        return time.monotonic() + self._offset

    def iso(self) -> str:
        """Now as ISO 8601, UTC, with microseconds and `+00:00`."""
        return iso(self.now())

    def age(self, moment: str) -> float:
        """Seconds since an ISO 8601 moment."""
        return self.now() - datetime.fromisoformat(moment).timestamp()


def iso(seconds: float) -> str:
    """A Unix time in the same form."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
