"""The part of a source between two times, and whether all of it could be read."""

from typing import Annotated

from msgspec import Meta, Struct

from dragon.task import TaskFailed

Seconds = Annotated[float, Meta(ge=0, le=1e7, description="a number of seconds from 0 to 10000000")]
"""A time in a source, from its beginning."""

MISSING_SHARE = 0.05
MISSING_SECONDS = 1.0
"""How much shorter what is made may be than what the source promised: the larger of both."""


class Span(Struct, frozen=True, kw_only=True):
    """From `start` to `end`, in seconds; None where it begins or ends with the source.

    `seconds` is how long it is, None if the source does not tell how long it is itself.
    """

    start: float | None
    end: float | None
    seconds: float | None

    @property
    def is_whole(self) -> bool:
        return self.start is None and self.end is None


def cut(duration: float | None, start: float | None, end: float | None) -> Span:
    """What is asked for of a source. Raises TaskFailed if nothing of it lies between the two."""
    begin = start or 0.0
    if end is not None and end <= begin:
        raise TaskFailed(f"end = {end:g} must lie after start = {begin:g}")
    if duration is not None and begin >= duration:
        raise TaskFailed(f"start = {begin:g} lies beyond the end, at {duration:g} seconds")
    if end is not None and duration is not None and end >= duration:
        end = None
    until = duration if end is None else end
    return Span(start=start or None, end=end, seconds=None if until is None else until - begin)


def check_whole(url: str, kind: str, promised: float | None, made: float | None) -> None:
    """Raises TaskFailed if much less was made than the source promised: it is cut off."""
    if promised is None or made is None:
        return
    if promised - made > max(MISSING_SECONDS, promised * MISSING_SHARE):
        raise TaskFailed(
            f"File '{url}' is not a valid {kind} file: "
            f"only {made:.1f} of {promised:.1f} seconds can be read"
        )
