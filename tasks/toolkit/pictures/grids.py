"""Arranges sections of one size in lines, as one picture."""

from typing import Annotated

from msgspec import Meta, Struct

from dragon.task import Descriptor, MediaLimits, Tell
from tasks.toolkit.colors import Color, rgba
from tasks.toolkit.geometry import Size, check_limits
from tasks.toolkit.pictures.formats import Format, Quality, check_fits
from tasks.toolkit.pictures.sections import COLLECTED, read_sections
from tasks.toolkit.progress import Meter

Wrap = Annotated[int, Meta(ge=1, description="a whole number of sections, at least 1")]


class Look(Struct, frozen=True, kw_only=True):
    """How a grid is written."""

    background: Color
    format: Format
    quality: Quality | None


class Grid(Struct, frozen=True, kw_only=True):
    """So many sections in lines of `across`."""

    section: Size
    count: int
    across: int

    @property
    def whole(self) -> Size:
        lines = -(-self.count // self.across)
        return Size(self.section.width * self.across, self.section.height * lines)


def grid_of(section: Size, count: int, wrap: Wrap | None) -> Grid:
    """After `wrap` sections a new line starts; without it there is one line."""
    return Grid(section=section, count=count, across=min(wrap or count, count))


def check_grid(what: str, grid: Grid, format: Format, limits: MediaLimits) -> None:
    """Raises TaskFailed, whose message `what` begins, if a picture of it would be too large."""
    check_fits(grid.whole, format)
    check_limits(what, grid.whole, 1, limits)


def arrange(sections: Descriptor, output: Descriptor, grid: Grid, look: Look, tell: Tell) -> None:
    """Runs in a decoder child."""
    from pyvips import Image

    from tasks.toolkit.pictures import framing, saving

    frames = read_sections(sections, grid.section, grid.count)
    image = Image.arrayjoin(frames, across=grid.across, background=rgba(look.background))
    meter = Meter(tell, begin=COLLECTED)
    image = framing.metered(framing.without_idle_alpha(image), meter, grid.count)
    saving.save(image, output, look.format, look.quality)
    meter.reached(1, frames=grid.count)
