"""video.preview: a storyboard for a player's seek bar, one picture with its WebVTT."""

from typing import Annotated

from msgspec import Meta

from dragon.task import Context, File, Media, Params, Pixels, Result, SourceUrl, TaskFailed, task
from tasks.toolkit.geometry import Box, Crop
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, lossy_quality
from tasks.toolkit.pictures.grids import Grid, Look, Wrap, arrange, check_grid, grid_of
from tasks.toolkit.pictures.sections import Section
from tasks.toolkit.video.moments import collect_moments, survey

MAX_TILES = 400
USUAL_TILES = 100

Interval = Annotated[
    float, Meta(ge=0.05, le=3600, description="a number of seconds from 0.05 to 3600")
]


class PreviewParams(Params, frozen=True):
    """A tile for each `interval` seconds, with the frame in the middle of them; by default for
    each second, and in a long video for each hundredth of it. At most 400 tiles are made.

    `width` and `height` are those of one tile; what they leave open follows from the first frame.
    After `wrap` tiles a new line starts. `quality` is that of a JPEG, WebP or AVIF.
    """

    url: SourceUrl
    width: Pixels | None = 160
    height: Pixels | None = None
    crop: Crop = False
    interval: Interval | None = None
    wrap: Wrap = 10
    format: Format = "jpeg"
    quality: Quality = 75


class Preview(Result, frozen=True):
    """`output` is the picture of all tiles, `width` and `height` its size. `track` is the WebVTT:
    each cue names the picture, by its file name, and the tile's place in it as `#xywh=`.

    `count` is that of the tiles; `interval` and `duration` are in seconds.
    """

    count: int
    width: int
    height: int
    tile_width: int
    tile_height: int
    interval: float
    duration: float
    content_type: str
    output: Annotated[File, Media("image/*")]
    track: Annotated[File, Media("text/vtt")]


@task("video.preview", timeout_seconds=900)
async def preview(params: PreviewParams, ctx: Context) -> Preview:
    source = await ctx.fetch(params.url, is_media=True)
    box = Box(width=params.width, height=params.height, crop=params.crop)
    film = await ctx.isolated(survey, params.url, source, box, ctx.limits)
    duration = film.duration or 0.0
    interval = params.interval or max(1.0, duration / USUAL_TILES)
    times = _times(duration, interval)
    grid = grid_of(film.section, len(times), params.wrap)
    check_grid("The storyboard", grid, params.format, ctx.limits)
    section = Section(size=film.section, crop=params.crop, background="#000000")
    sections, count = await collect_moments(ctx, source, section, times, repeat=True)
    output = ctx.output("output", FORMATS[params.format].content_type)
    quality = lossy_quality(params.quality, params.format)
    look = Look(background=section.background, format=params.format, quality=quality)
    await ctx.isolated(arrange, sections, output, grid, look, ctx.progress)
    track = ctx.output("track", "text/vtt")
    track.path.write_text(web_vtt(output.filename, grid, interval, duration), "utf-8")
    return Preview(
        count=count,
        width=grid.whole.width,
        height=grid.whole.height,
        tile_width=film.section.width,
        tile_height=film.section.height,
        interval=interval,
        duration=duration,
        content_type=output.content_type,
        output=output,
        track=track,
    )


def web_vtt(picture: str, grid: Grid, interval: float, duration: float) -> str:
    """A cue for each tile, which begins when the one before it ends."""
    cues = ["WEBVTT\n"]
    width, height = grid.section.width, grid.section.height
    for index in range(grid.count):
        line, place = divmod(index, grid.across)
        end = duration if index == grid.count - 1 else (index + 1) * interval
        place_in_picture = f"{place * width},{line * height},{width},{height}"
        cues.append(
            f"{_clock(index * interval)} --> {_clock(end)}\n{picture}#xywh={place_in_picture}\n"
        )
    return "\n".join(cues)


def _times(duration: float, interval: float) -> list[float]:
    """The middle of each interval. Raises TaskFailed if there are too many."""
    count = max(1, -(-duration // interval)) if duration else 1
    if count > MAX_TILES:
        raise TaskFailed(
            f"There would be {count:.0f} tiles, more than {MAX_TILES}: "
            f"the interval must be at least {duration / MAX_TILES:.3g} seconds"
        )
    starts = [index * interval for index in range(int(count))]
    return [(start + min(start + interval, duration)) / 2 for start in starts]


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, left = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{left // 1000:02}.{left % 1000:03}"
