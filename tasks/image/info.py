"""image.info: what a picture is and how it was shot, read from its header."""

from typing import Literal

from dragon.task import Context, Descriptor, Params, Result, SourceUrl, task
from tasks.toolkit import exif


class InfoParams(Params, frozen=True):
    url: SourceUrl


class Info(Result, frozen=True):
    """`width` and `height` are those of the pixels as stored, before any rotation.

    `rotation` is in degrees, counter-clockwise, what turns the stored picture upright; None where
    a flip would be needed or nothing is known. `focal_length` is in millimetres, `exposure_time`
    in seconds, `date_time` as the camera wrote it.
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


@task("image.info", timeout_seconds=60)
async def info(params: InfoParams, ctx: Context) -> Info:
    source = await ctx.fetch(params.url)
    return await ctx.isolated(inspect, params.url, source)


def inspect(url: str, source: Descriptor) -> Info:
    """Runs in a decoder child; decodes no pixels, so that no limit on them applies."""
    from tasks.toolkit import vips

    picture = vips.open_picture(url, source)
    header = picture.header
    orientation = vips.orientation_of(header) or None
    shot = exif.read_shot(vips.texts_of(header, exif.TAGS))
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
    )
