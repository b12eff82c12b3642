"""How fast a transfer must go: each portion of it has a window of time."""

import asyncio

_LONGEST_WINDOW_SECONDS = 10.0


class Pace:
    """Moves a timeout on as bytes pass; it is over once a portion takes longer than the window.

    The window is at most a third of `longest_seconds`, what the whole transfer may take, unless
    `block_bytes`, of which nobody sees less pass, need more.
    """

    def __init__(
        self,
        timeout: asyncio.Timeout,
        bytes_per_second: int,
        longest_seconds: float,
        block_bytes: int = 1,
    ) -> None:
        self._timeout = timeout
        window_seconds = min(_LONGEST_WINDOW_SECONDS, longest_seconds / 3)
        self._window_seconds = max(window_seconds, block_bytes / bytes_per_second)
        self._portion_bytes = int(bytes_per_second * self._window_seconds)
        self._passed = 0
        self.wait(self._window_seconds)

    def passed(self, count: int) -> None:
        """So many bytes more have."""
        self._passed += count
        if self._passed >= self._portion_bytes:
            self._passed = 0
            self.wait(self._window_seconds)

    def wait(self, seconds: float) -> None:
        """For what comes next, however many bytes that has."""
        self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)
