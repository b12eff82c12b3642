"""image.info: what a picture is, how it was shot and how it looks."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from dragon.task import (
    Context,
    Descriptor,
    MediaLimits,
    Params,
    Result,
    SourceUrl,
    TaskFailed,
    task,
)
from tasks.toolkit.colors import DominantColor
from tasks.toolkit.geometry import shrink_to
from tasks.toolkit.pictures import exif

if TYPE_CHECKING:
    from tasks.toolkit.pictures.vips import Picture


class InfoParams(Params, frozen=True):
    url: SourceUrl


class Info(Result, frozen=True):
    """`width` and `height` are those of the pixels as stored, before any rotation.

    `rotation` is in degrees, counter-clockwise, what turns the stored picture upright; None where
    a flip would be needed or nothing is known. `focal_length` is in millimetres, `exposure_time`
    in seconds, `date_time` as the camera wrote it.

    `page_count` is that of pages or frames. `blurhash` and `dominant_colors` are of the first of
    them as seen upright: up to five objects with a `color` such as "#8d603b" and its `share` of
    the visible pixels, the largest first. Where its pixels cannot be read, or are more than
    `max_pixels`, they are None and empty.
    """

    content_type: str
    type: Literal["image"]
    width: int
    height: int
    alpha: bool
    exif_orientation: int | None
    rotation: float | None
    date_time: str | None
    flash: bool | None
    focal_length: float | None
    iso_speed: float | None
    exposure_time: float | None
    page_count: int
    blurhash: str | None
    dominant_colors: list[DominantColor]


class Look(Struct, frozen=True):
    """How a picture looks."""

    blurhash: str | None = None
    dominant_colors: list[DominantColor] = []


@task("image.info", timeout_seconds=60)
async def info(params: InfoParams, ctx: Context) -> Info:
    source = await ctx.fetch(params.url)
    return await ctx.isolated(inspect, params.url, source, ctx.limits)


def inspect(url: str, source: Descriptor, limits: MediaLimits) -> Info:
    """Runs in a decoder child; a file that is cut still has a header that tells something."""
    from tasks.toolkit.pictures import vips

    picture = vips.open_picture(url, source)
    header = picture.header
    orientation = vips.orientation_of(header) or None
    shot = exif.read_shot(vips.texts_of(header, exif.TAGS))
    look = _look(picture, limits)
    return Info(
        content_type=picture.format.content_type,
        type="image",
        width=header.width,
        height=header.height,
        alpha=bool(header.hasalpha()),
        exif_orientation=orientation,
        rotation=exif.rotation_of(orientation),
        date_time=shot.date_time,
        flash=shot.flash,
        focal_length=shot.focal_length,
        iso_speed=shot.iso_speed,
        exposure_time=shot.exposure_time,
        page_count=vips.pages_of(header),
        blurhash=look.blurhash,
        dominant_colors=look.dominant_colors,
    )


def _look(picture: "Picture", limits: MediaLimits) -> Look:
    from tasks.toolkit.pictures import impression, vips

    try:
        small = vips.decode(picture, shrink_to(picture.size, impression.SIDE), "png", limits)
    except TaskFailed:
        return Look()
    return Look(impression.blurhash_of(small), impression.dominant_colors(small))
