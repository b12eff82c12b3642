"""Tells how far a work is, and how long the rest of it will take."""

import time
from collections.abc import Callable

from msgspec import Struct

from dragon.task import Tell


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`fraction` of the whole from 0 to 1; `out_time` is what has been made, in seconds.

    `speed` is how many seconds are made in one. What is not known yet is left out.
    """

    fraction: float
    frames: int | None = None
    out_time: float | None = None
    bytes: int | None = None
    speed: float | None = None
    seconds_left: float | None = None


class Meter:
    """Of a work that counts what it has done."""

    def __init__(
        self,
        tell: Tell,
        *,
        begin: float = 0.0,
        end: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """All of this work takes the fraction from `begin` to `end`; it never goes back."""
        self.newest = Progress(fraction=begin)
        self._tell = tell
        self._begin = begin
        self._end = end
        self._clock = clock
        self._began = clock()
        self._fraction = begin

    def reached(
        self,
        share: float,
        *,
        frames: int | None = None,
        out_time: float | None = None,
        bytes: int | None = None,
        speed: float | None = None,
    ) -> None:
        """So much of this work is done, 0 to 1; 0 if that is not known."""
        fraction = self._begin + min(1.0, share) * (self._end - self._begin)
        self._fraction = max(self._fraction, fraction)
        took, done = self._clock() - self._began, self._fraction - self._begin
        if speed is None and out_time and took > 0:
            speed = round(out_time / took, 2)
        self.newest = Progress(
            fraction=round(self._fraction, 4),
            frames=frames,
            out_time=out_time,
            bytes=bytes,
            speed=speed,
            seconds_left=round(took * (1 - self._fraction) / done, 1) if done > 0 else None,
        )
        self._tell(self.newest)
