"""The time, as Valkey's own clock has it."""

import time
from datetime import UTC, datetime


class StoreClock:
    """Valkey's time carried on by this machine's monotonic clock, whatever its wall clock does."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def set(self, now_seconds: float) -> None:
        """Take over what Valkey just answered."""
        self._offset = now_seconds - time.monotonic()

    def now(self) -> float:
        """Unix time in seconds."""
        return time.monotonic() + self._offset

    def iso(self) -> str:
        """Now as ISO 8601, UTC, with microseconds and `+00:00`."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="microseconds")

    def age(self, moment: str) -> float:
        """Seconds since an ISO 8601 moment."""
        return self.now() - datetime.fromisoformat(moment).timestamp()
