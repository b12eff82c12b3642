"""Collects moments of a video in one file of raw pixels, each as a section of one size."""

from collections.abc import Sequence

from msgspec import Struct

from dragon.task import Context, Descriptor, File, MediaLimits, Source, Tell
from tasks.toolkit.geometry import Box, Size, check_limits, lay_out
from tasks.toolkit.pictures.sections import COLLECTED, Section, section_size, write_section
from tasks.toolkit.progress import Meter

_AT_ONCE = 4
"""So many frames are decoded in one call, whose processor time has a limit."""


class Survey(Struct, frozen=True, kw_only=True):
    """What a video is like: its size as seen, and that of a section; seconds, frames a second."""

    original: Size
    section: Size
    duration: float | None
    frame_rate: float | None


class Placed(Struct, frozen=True):
    """How many sections there are, and which frame was the last."""

    count: int = 0
    tick: int | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """Some of the times: how many came before them, and how many there are in all."""

    times: list[float]
    before: int
    whole: int

    @property
    def end(self) -> int:
        return self.before + len(self.times)


async def collect_moments(
    ctx: Context, source: Source, section: Section, times: Sequence[float], *, repeat: bool
) -> tuple[File, int]:
    """Make a section of the frame at each of these times, which rise, in seconds.

    With `repeat` false a frame that is seen at several of them makes one section only. Answers a
    file of the sections, one after the other in rows of RGBA, and their number.
    """
    file = ctx.output("sections", "application/octet-stream")
    placed = Placed()
    for first in range(0, len(times), _AT_ONCE):
        some = list(times[first : first + _AT_ONCE])
        batch = Batch(times=some, before=first, whole=len(times))
        how = (section, batch, placed, repeat, ctx.limits)
        placed = await ctx.isolated(place, source.url, source, file, *how, ctx.progress)
    return file, placed.count


def survey(url: str, source: Descriptor, box: Box, limits: MediaLimits) -> Survey:
    """Runs in a decoder child; what the box leaves open follows from the first frame."""
    from tasks.toolkit.video.frames import open_film

    with open_film(url, source, limits) as film:
        original = film.size_of(film.frame_at(0))
        return Survey(
            original=original,
            section=section_size(original, box),
            duration=film.duration,
            frame_rate=film.frame_rate,
        )


def place(
    url: str,
    source: Descriptor,
    file: Descriptor,
    section: Section,
    batch: Batch,
    placed: Placed,
    repeat: bool,
    limits: MediaLimits,
    tell: Tell,
) -> Placed:
    """Runs in a decoder child: writes the frames at these times behind the sections placed."""
    from tasks.toolkit.pictures import framing
    from tasks.toolkit.video.frames import open_film, tick_of
    from tasks.toolkit.video.stills import still_of

    box = Box(width=section.size.width, height=section.size.height, crop=section.crop)
    begin, end = (COLLECTED * count / batch.whole for count in (batch.before, batch.end))
    meter = Meter(tell, begin=begin, end=end)
    done = 0

    def on_frame(share: float) -> None:
        meter.reached((done + share) / len(batch.times), frames=batch.before + done)

    with open_film(url, source, limits, on_frame) as film:
        for seconds in batch.times:
            frame = film.frame_at(seconds)
            done += 1
            on_frame(0)
            if tick_of(frame) == placed.tick and not repeat:
                continue
            layout = lay_out(film.size_of(frame), box)
            check_limits("The resized picture", layout.scaled, 1, limits)
            image = still_of(frame, layout.scaled)
            image = framing.turn_and_cut(image, layout.output, crop=section.crop)
            image = framing.pad(image, section.size, section.background)
            write_section(file, image.write_to_memory(), placed.count)
            placed = Placed(placed.count + 1, tick_of(frame))
    return placed
