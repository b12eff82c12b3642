"""image.thumb: a picture in another size, cut, turned or converted."""

from typing import Annotated, Literal

from msgspec import Struct

from dragon.task import (
    Context,
    Descriptor,
    File,
    Media,
    MediaLimits,
    Params,
    Pixels,
    Result,
    SourceUrl,
    task,
)
from tasks.toolkit.geometry import Box, Crop, Size, lay_out
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, check_fits


class ThumbParams(Params, frozen=True):
    """`rotation` is in degrees, counter-clockwise; `width` and `height` are the output's.

    A `crop` of true cuts from the middle what is over, "smart" keeps what draws the eye.
    Without `quality` it is one that suits the format; of a PNG or GIF it lowers the number of
    colours.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False
    rotation: Literal[0, 90, 180, 270] = 0
    poster: bool = False
    format: Format = "jpeg"
    quality: Quality | None = None


class Thumb(Result, frozen=True):
    """`original_width` and `original_height` are the source's as seen upright, by its EXIF."""

    width: int
    height: int
    original_width: int
    original_height: int
    output: Annotated[File, Media("image/*")]


class Rendered(Struct, frozen=True):
    """The sizes of the output and of the source."""

    output: Size
    original: Size


@task("image.thumb", timeout_seconds=60)
async def thumb(params: ThumbParams, ctx: Context) -> Thumb:
    source = await ctx.fetch(params.url)
    output = ctx.output("output", FORMATS[params.format].content_type)
    rendered = await ctx.isolated(render, params, source, output, ctx.limits)
    return Thumb(
        width=rendered.output.width,
        height=rendered.output.height,
        original_width=rendered.original.width,
        original_height=rendered.original.height,
        output=output,
    )


def render(
    params: ThumbParams, source: Descriptor, output: Descriptor, limits: MediaLimits
) -> Rendered:
    """Runs in a decoder child; the descriptors are files opened by the parent."""
    from tasks.toolkit.pictures import framing, poster, saving, vips

    picture = vips.open_picture(params.url, source)
    box = Box(width=params.width, height=params.height, crop=params.crop)
    layout = lay_out(picture.size.turned(params.rotation), box)
    check_fits(layout.output, params.format)
    image = vips.decode(picture, layout.scaled.turned(params.rotation), params.format, limits)
    image = framing.turn_and_cut(image, layout.output, rotation=params.rotation, crop=params.crop)
    if params.poster:
        image = poster.mark(image)
    saving.save(image, output, params.format, params.quality)
    return Rendered(layout.output, picture.size)
