"""Lets a function in a decoder child report how far it is, through a file of 16 bytes.

A child answers only once, when it is done.
"""

import asyncio
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from dragon.task import Context, Descriptor, File
from tasks.toolkit.progress import Progress

T = TypeVar("T")

REPORT_SECONDS = 0.25

_NUMBERS = struct.Struct("<dd")


class Reporter:
    """The child's end: tells the seconds of a source that were read, and how many there are."""

    def __init__(self, report: Descriptor, seconds: float | None) -> None:
        self._report = report
        self._seconds = seconds
        self._told = time.monotonic()

    def tell(self, done: float) -> None:
        if self._seconds and time.monotonic() - self._told >= REPORT_SECONDS:
            self._told = time.monotonic()
            os.pwrite(self._report, _NUMBERS.pack(done, self._seconds), 0)


async def isolated(ctx: Context, report: File, function: Callable[..., T], *arguments: Any) -> T:
    """As `Context.isolated`, with `report` as the last argument, which becomes the progress."""
    telling = asyncio.create_task(_tell(ctx, report))
    try:
        return await ctx.isolated(function, *arguments, report)
    finally:
        telling.cancel()


async def _tell(ctx: Context, report: File) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        if progress := _read(report, time.monotonic() - began):
            ctx.progress(progress)


def _read(report: File, elapsed: float) -> Progress | None:
    """What stands in the file may be anything, as all that a child does."""
    with suppress(OSError, struct.error), report.path.open("rb") as file:
        done, seconds = _NUMBERS.unpack(file.read(_NUMBERS.size))
        if 0 < done <= seconds < float("inf"):
            return Progress(
                fraction=round(done / seconds, 4),
                out_time=round(done, 3),
                speed=round(done / elapsed, 2),
                seconds_left=round(elapsed * (seconds - done) / done, 1),
            )
    return None
