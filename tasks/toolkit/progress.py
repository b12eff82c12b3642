"""Tells how far an encode is, by what ffmpeg prints of itself."""

import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from dragon.task import Context, Tell
from tasks.toolkit.media.ffmpeg import Arguments


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
    """Tells how far a work is that counts what it has done, and how long the rest will take."""

    def __init__(
        self,
        tell: Tell,
        *,
        begin: float = 0.0,
        end: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """All of this work takes the fraction from `begin` to `end`; it never goes back."""
        self._tell = tell
        self._begin = begin
        self._end = end
        self._clock = clock
        self._began = clock()
        self._fraction = begin

    def reached(
        self, share: float, *, frames: int | None = None, out_time: float | None = None
    ) -> None:
        """So much of this work is done, 0 to 1; 0 if that is not known."""
        fraction = self._begin + min(1.0, share) * (self._end - self._begin)
        self._fraction = max(self._fraction, fraction)
        took, done = self._clock() - self._began, self._fraction - self._begin
        self._tell(
            Progress(
                fraction=round(self._fraction, 4),
                frames=frames,
                out_time=None if out_time is None else round(out_time, 2),
                speed=round(out_time / took, 2) if out_time and took > 0 else None,
                seconds_left=round(took * (1 - self._fraction) / done, 1) if done > 0 else None,
            )
        )


class ProgressReader:
    """Reads lines of `-progress`, and tells each block of them as a Progress."""

    def __init__(
        self,
        tell: Callable[[Progress], None],
        seconds: float | None,
        *,
        begin: float = 0.0,
        end: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` will be made; all of it takes the fraction from `begin` to `end`."""
        self.newest = Progress(fraction=begin)
        self._tell = tell
        self._seconds = seconds
        self._begin = begin
        self._end = end
        self._clock = clock
        self._began = clock()
        self._values: dict[str, str] = {}

    def read_line(self, line: str) -> None:
        name, _, value = line.partition("=")
        self._values[name.strip()] = value.strip()
        if name == "progress":
            self.newest = self._progress(is_end=value.strip() == "end")
            self._values = {}
            self._tell(self.newest)

    def _progress(self, *, is_end: bool) -> Progress:
        microseconds = self._number("out_time_us")
        out_time = None if microseconds is None else max(0.0, microseconds / 1_000_000)
        fraction = self._end if is_end else self._fraction(out_time)
        return Progress(
            fraction=round(fraction, 4),
            frames=_whole(self._number("frame")),
            out_time=out_time,
            bytes=_whole(self._number("total_size")),
            speed=self._number("speed"),
            seconds_left=self._seconds_left(fraction),
        )

    def _fraction(self, out_time: float | None) -> float:
        if not out_time or not self._seconds:
            return self.newest.fraction
        share = min(1.0, out_time / self._seconds)
        return max(self.newest.fraction, self._begin + share * (self._end - self._begin))

    def _seconds_left(self, fraction: float) -> float | None:
        """What is left of the whole, if it goes on as this encode did."""
        done = fraction - self._begin
        if done <= 0:
            return None
        return round((self._clock() - self._began) * (1 - fraction) / done, 1)

    def _number(self, name: str) -> float | None:
        with suppress(KeyError, ValueError):
            return float(self._values[name].removesuffix("x"))
        return None


async def encode(
    ctx: Context,
    arguments: Arguments,
    seconds: float | None,
    *,
    begin: float = 0.0,
    end: float = 1.0,
) -> Progress:
    """Run ffmpeg, which will make `seconds`, and tell its progress; returns the last.

    Of a task that runs it several times each run is a part of the whole, `begin` to `end`.
    Raises as `Context.run_program`.
    """
    reader = ProgressReader(ctx.progress, seconds, begin=begin, end=end)
    await ctx.run_program(arguments, reader.read_line)
    return reader.newest


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
