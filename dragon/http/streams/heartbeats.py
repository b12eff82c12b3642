"""Beats for streams that are silent for long, so that nobody on the way takes them for dead."""

import asyncio
from itertools import count
from typing import Protocol

MAX_SECONDS = 300


class Beating(Protocol):
    def beat(self) -> None: ...


class Heartbeats:
    """One timer for all streams that ask for beats; it stands still while none does."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], set[Beating]] = {}
        """By the seconds between two beats, and the second among them in which they are due."""
        self._second = 0
        self._turn = count()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, stream: Beating, seconds: int) -> set[Beating]:
        """Have a stream beat from now on; it leaves by discarding itself from what is returned."""
        # In turn, for after a restart all come back at once, and should not beat at once.
        group = self._groups.setdefault((seconds, next(self._turn) % seconds), set())
        group.add(stream)
        if not self._timer:
            self._wait()
        return group

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._run_once)

    def _run_once(self) -> None:
        self._second += 1
        self._groups = {place: group for place, group in self._groups.items() if group}
        self._timer = None
        # Before the beats, so that none of them can stop those to come.
        if self._groups:
            self._wait()
        for (seconds, phase), group in self._groups.items():
            if self._second % seconds == phase:
                for stream in group:
                    stream.beat()
