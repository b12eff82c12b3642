"""video.thumb: a picture of a moment of a video."""

from typing import Annotated

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
    Tell,
    task,
)
from tasks.toolkit.geometry import Box, Crop, Size, check_limits, lay_out
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, check_fits, lossy_quality
from tasks.toolkit.progress import Meter
from tasks.toolkit.spans import Seconds


class ThumbParams(Params, frozen=True):
    """`time` is in seconds; beyond the end it is the last frame.

    A `crop` of true cuts from the middle what is over, "smart" keeps what draws the eye.
    `quality` is that of a JPEG, WebP or AVIF.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False
    time: Seconds = 0.0
    format: Format = "jpeg"
    poster: bool = False
    quality: Quality = 75


class Thumb(Result, frozen=True):
    """`original_width` and `original_height` are the video's as seen; `duration` in seconds."""

    width: int
    height: int
    original_width: int
    original_height: int
    duration: float | None
    content_type: str
    output: Annotated[File, Media("image/*")]


class Rendered(Struct, frozen=True):
    """The sizes of the output and of the source, and how long that is."""

    output: Size
    original: Size
    duration: float | None


@task("video.thumb", timeout_seconds=60)
async def thumb(params: ThumbParams, ctx: Context) -> Thumb:
    source = await ctx.fetch(params.url, is_media=True)
    output = ctx.output("output", FORMATS[params.format].content_type)
    rendered = await ctx.isolated(render, params, source, output, ctx.limits, ctx.progress)
    return Thumb(
        width=rendered.output.width,
        height=rendered.output.height,
        original_width=rendered.original.width,
        original_height=rendered.original.height,
        duration=rendered.duration,
        content_type=output.content_type,
        output=output,
    )


def render(
    params: ThumbParams, source: Descriptor, output: Descriptor, limits: MediaLimits, tell: Tell
) -> Rendered:
    """Runs in a decoder child; the descriptors are files opened by the parent."""
    from tasks.toolkit.pictures import framing, poster, saving
    from tasks.toolkit.video.frames import open_film
    from tasks.toolkit.video.stills import still_of

    meter = Meter(tell)
    with open_film(params.url, source, limits, meter.reached) as film:
        frame = film.frame_at(params.time)
        original = film.size_of(frame)
        layout = lay_out(original, Box(width=params.width, height=params.height, crop=params.crop))
        check_fits(layout.output, params.format)
        check_limits("The resized picture", layout.scaled, 1, limits)
        image = still_of(frame, layout.scaled)
    image = framing.turn_and_cut(image, layout.output, crop=params.crop)
    if params.poster:
        image = poster.mark(image)
    quality = lossy_quality(params.quality, params.format)
    saving.save(image, output, params.format, quality)
    return Rendered(layout.output, original, film.duration)
