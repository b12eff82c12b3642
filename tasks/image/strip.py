"""image.strip: pictures side by side, such as for a contact sheet."""

from typing import Annotated

from dragon.task import Context, File, Media, Params, Pixels, Result, task
from tasks.toolkit.colors import CLEAR, Color
from tasks.toolkit.geometry import Box, Crop, Size
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality
from tasks.toolkit.pictures.grids import Look, Wrap, arrange, check_grid, grid_of
from tasks.toolkit.pictures.sections import Urls, collect


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
    output: Annotated[File, Media("image/*")]


@task("image.strip", timeout_seconds=300)
async def strip(params: StripParams, ctx: Context) -> Strip:
    count = len(params.urls)

    def check(size: Size) -> None:
        check_grid("The strip", grid_of(size, count, params.wrap), params.format, ctx.limits)

    box = Box(width=params.width, height=params.height, crop=params.crop)
    sections, size = await collect(ctx, params.urls, box, params.background, check)
    grid = grid_of(size, count, params.wrap)
    output = ctx.output("output", FORMATS[params.format].content_type)
    look = Look(background=params.background, format=params.format, quality=params.quality)
    await ctx.isolated(arrange, sections, output, grid, look, ctx.progress)
    return Strip(
        count=count,
        width=grid.whole.width,
        height=grid.whole.height,
        content_type=output.content_type,
        output=output,
    )
