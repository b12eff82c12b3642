"""Runs ffmpeg, and tells how far it is by what it prints of itself."""

import time
from collections.abc import Callable
from contextlib import suppress

from dragon.task import Context
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.progress import Progress


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


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
