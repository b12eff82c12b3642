"""video.strip: frames of a video side by side."""

from typing import Annotated

from msgspec import Meta

from dragon.task import Context, File, Media, Params, Pixels, Result, SourceUrl, TaskFailed, task
from tasks.toolkit.colors import CLEAR, Color
from tasks.toolkit.geometry import Box, Crop
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, lossy_quality
from tasks.toolkit.pictures.grids import Look, Wrap, arrange, check_grid, grid_of
from tasks.toolkit.pictures.sections import Section
from tasks.toolkit.spans import Seconds
from tasks.toolkit.video.moments import collect_moments, survey

Count = Annotated[int, Meta(ge=1, le=200, description="a whole number of frames from 1 to 200")]


class StripParams(Params, frozen=True):
    """`count` frames at equal steps from `start` to `end`, in seconds; the last frame is the
    default of `end`.

    `width` and `height` are those of one section; what they leave open follows from the first
    frame. Sections run from left to right, and after `wrap` of them a new line starts; without it
    there is one line. Without `crop` a frame of another shape lies in the middle of `background`,
    which is clear, in a JPEG white, unless given. `quality` is that of a JPEG, WebP or AVIF.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False
    wrap: Wrap | None = None
    start: Seconds = 0.0
    end: Seconds | None = None
    count: Count = 10
    background: Color = CLEAR
    format: Format = "jpeg"
    quality: Quality = 75


class Strip(Result, frozen=True):
    """`width` and `height` are those of all, `count` is that of the sections: fewer than were
    asked for where the video has fewer frames.

    `original_width` and `original_height` are the video's as seen, `duration` is in seconds.
    """

    count: int
    width: int
    height: int
    original_width: int
    original_height: int
    duration: float | None
    frame_rate: float | None
    content_type: str
    output: Annotated[File, Media("image/*")]


@task("video.strip", timeout_seconds=300)
async def strip(params: StripParams, ctx: Context) -> Strip:
    source = await ctx.fetch(params.url, is_media=True)
    box = Box(width=params.width, height=params.height, crop=params.crop)
    film = await ctx.isolated(survey, params.url, source, box, ctx.limits)
    times = _times(params, film.duration)
    check_grid(
        "The strip", grid_of(film.section, len(times), params.wrap), params.format, ctx.limits
    )
    section = Section(size=film.section, crop=params.crop, background=params.background)
    sections, count = await collect_moments(ctx, source, section, times, repeat=False)
    grid = grid_of(film.section, count, params.wrap)
    output = ctx.output("output", FORMATS[params.format].content_type)
    quality = lossy_quality(params.quality, params.format)
    look = Look(background=params.background, format=params.format, quality=quality)
    await ctx.isolated(arrange, sections, output, grid, look, ctx.progress)
    return Strip(
        count=count,
        width=grid.whole.width,
        height=grid.whole.height,
        original_width=film.original.width,
        original_height=film.original.height,
        duration=film.duration,
        frame_rate=film.frame_rate,
        content_type=output.content_type,
        output=output,
    )


def _times(params: StripParams, duration: float | None) -> list[float]:
    """Raises TaskFailed if the end is before the start."""
    end = duration or params.start if params.end is None else params.end
    if end < params.start and params.end is not None:
        raise TaskFailed(f"end: {params.end:g} is before start, which is {params.start:g}")
    step = (max(end, params.start) - params.start) / max(1, params.count - 1)
    return [params.start + step * index for index in range(params.count)]
