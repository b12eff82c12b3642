"""Runs ffmpeg, and tells how far it is by what it prints of itself."""

from contextlib import suppress

from dragon.task import Context
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.progress import Meter, Progress


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
    meter = Meter(ctx.progress, begin=begin, end=end)
    await ctx.run_program(arguments, ProgressReader(meter, seconds).read_line)
    return meter.newest


class ProgressReader:
    """Reads lines of `-progress`, and has each block of them told."""

    def __init__(self, meter: Meter, seconds: float | None) -> None:
        """`seconds` will be made, if that is known."""
        self._meter = meter
        self._seconds = seconds
        self._values: dict[str, str] = {}

    def read_line(self, line: str) -> None:
        name, _, value = line.partition("=")
        self._values[name.strip()] = value.strip()
        if name == "progress":
            self._tell(is_end=value.strip() == "end")
            self._values = {}

    def _tell(self, *, is_end: bool) -> None:
        microseconds = self._number("out_time_us")
        out_time = None if microseconds is None else max(0.0, microseconds / 1_000_000)
        share = out_time / self._seconds if out_time and self._seconds else 0.0
        self._meter.reached(
            1.0 if is_end else share,
            frames=_whole(self._number("frame")),
            out_time=out_time,
            bytes=_whole(self._number("total_size")),
            speed=self._number("speed"),
        )

    def _number(self, name: str) -> float | None:
        with suppress(KeyError, ValueError):
            return float(self._values[name].removesuffix("x"))
        return None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
