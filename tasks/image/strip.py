"""image.strip: pictures side by side, such as for a contact sheet."""

from typing import Annotated

from msgspec import Meta, Struct

from dragon.task import Context, Descriptor, File, Params, Pixels, Result, task
from tasks.toolkit.colors import CLEAR, Color, rgba
from tasks.toolkit.formats import FORMATS, Format, Quality, check_fits
from tasks.toolkit.geometry import Box, Crop, Size, check_limits
from tasks.toolkit.sections import Urls, collect, read_sections

Wrap = Annotated[int, Meta(ge=1, extra={"expected": "a whole number of sections, at least 1"})]


class StripParams(Params, frozen=True):
    """`width` and `height` are those of one section; what they leave open follows from the first
    picture.

    Sections run from left to right, and after `wrap` of them a new line starts; without it there
    is one line. Without `crop` a picture of another shape lies in the middle of `background`,
    which is clear, in a JPEG white, unless given.
    """

    urls: Urls
    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False
    wrap: Wrap | None = None
    background: Color = CLEAR
    format: Format = "jpeg"
    quality: Quality | None = None


class Strip(Result, frozen=True):
    """`width` and `height` are those of all, `count` is that of the sections."""

    count: int
    width: int
    height: int
    content_type: str
    output: File


class Look(Struct, frozen=True, kw_only=True):
    """How the strip is written."""

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


@task("image.strip", timeout_seconds=300)
async def strip(params: StripParams, ctx: Context) -> Strip:
    count = len(params.urls)
    across = min(params.wrap or count, count)

    def check(size: Size) -> None:
        whole = Grid(section=size, count=count, across=across).whole
        check_fits(whole, params.format)
        check_limits("The strip", whole, 1, ctx.limits)

    box = Box(width=params.width, height=params.height, crop=params.crop)
    sections, size = await collect(ctx, params.urls, box, params.background, check)
    grid = Grid(section=size, count=count, across=across)
    output = ctx.output("output", FORMATS[params.format].content_type)
    look = Look(background=params.background, format=params.format, quality=params.quality)
    await ctx.isolated(arrange, sections, output, grid, look)
    return Strip(
        count=count,
        width=grid.whole.width,
        height=grid.whole.height,
        content_type=output.content_type,
        output=output,
    )


def arrange(sections: Descriptor, output: Descriptor, grid: Grid, look: Look) -> None:
    """Runs in a decoder child."""
    from pyvips import Image

    from tasks.toolkit import framing, saving

    frames = read_sections(sections, grid.section, grid.count)
    image = Image.arrayjoin(frames, across=grid.across, background=rgba(look.background))
    saving.save(framing.without_idle_alpha(image), output, look.format, look.quality)
