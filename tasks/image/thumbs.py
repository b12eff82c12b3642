"""image.thumbs: one picture in several sizes, fetched and decoded once."""

from typing import Annotated

from msgspec import Meta

from dragon.task import (
    Context,
    Descriptor,
    Files,
    Media,
    MediaLimits,
    Params,
    Result,
    SourceUrl,
    task,
)
from tasks.toolkit.geometry import Box, Size, check_limits, cover, lay_out
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, check_fits

SizeName = Annotated[
    str,
    Meta(
        pattern=r"\A(?!original_(?:width|height)\Z)[A-Za-z0-9_-]{1,64}\Z",
        description="a name of 1 to 64 letters, digits, - and _, "
        "other than original_width and original_height",
    ),
]
"""What a size and its file are called; the result has the originals' sizes beside them."""

Sizes = Annotated[
    dict[SizeName, Box],
    Meta(
        min_length=1,
        max_length=20,
        description='an object of 1 to 20 sizes, such as {"small": {"width": 100}}',
    ),
]


class ThumbsParams(Params, frozen=True):
    url: SourceUrl
    sizes: Sizes
    format: Format = "jpeg"
    quality: Quality | None = None


class Thumbs(Result, frozen=True):
    """One file for each size; the original's size is as seen upright, by its EXIF."""

    original_width: int
    original_height: int
    outputs: Annotated[Files, Media("image/*")]


@task("image.thumbs", timeout_seconds=60)
async def thumbs(params: ThumbsParams, ctx: Context) -> Thumbs:
    source = await ctx.fetch(params.url)
    content_type = FORMATS[params.format].content_type
    files = tuple(ctx.output(name, content_type) for name in params.sizes)
    original = await ctx.isolated(render, params, ctx.limits, source, *files)
    return Thumbs(
        original_width=original.width,
        original_height=original.height,
        outputs=Files(files=files),
    )


def render(
    params: ThumbsParams, limits: MediaLimits, source: Descriptor, *outputs: Descriptor
) -> Size:
    """Runs in a decoder child; `outputs` are open files, one for each size in order.

    The source is decoded once, at what the largest size needs. Answers the original's size.
    """
    from tasks.toolkit.pictures import framing, saving, vips

    picture = vips.open_picture(params.url, source)
    layouts = [lay_out(picture.size, box) for box in params.sizes.values()]
    frames = picture.frames if FORMATS[params.format].frames else 1
    for name, layout in zip(params.sizes, layouts, strict=True):
        check_fits(layout.output, params.format)
        check_limits(f"The resized picture {name}", layout.scaled, frames, limits)
    base_size = cover(picture.size, [layout.scaled for layout in layouts])
    base = vips.decode(picture, base_size, params.format, limits)
    look = framing.looking_at(base)
    for box, layout, output in zip(params.sizes.values(), layouts, outputs, strict=True):
        image = base if layout.scaled == base_size else vips.resize(base, layout.scaled)
        image = framing.turn_and_cut(image, layout.output, crop=box.crop, look=look)
        saving.save(image, output, params.format, params.quality)
    return picture.size
