"""image.face: where the faces in a picture are."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from dragon.task import Context, Descriptor, MediaLimits, Params, Result, SourceUrl, task

LONGEST_SIDE = 1280
"""To how many pixels a larger picture is made smaller; its faces then measure 20 or more."""


class FaceParams(Params, frozen=True):
    url: SourceUrl


class Face(Struct, frozen=True, kw_only=True):
    """A rectangle in pixels, `x` and `y` those of its upper left corner.

    `confidence` is 0 to 1; `rotation` the quarter turns, in degrees counter-clockwise, that turn
    the face upright.
    """

    type: Literal["face"]
    x: int
    y: int
    width: int
    height: int
    confidence: float
    rotation: int


class Faces(Result, frozen=True):
    """The faces, the surest first, in a picture of `width` and `height` as seen upright."""

    faces: list[Face]
    width: int
    height: int


@task("image.face", timeout_seconds=60)
async def face(params: FaceParams, ctx: Context) -> Faces:
    source = await ctx.fetch(params.url)
    return await ctx.isolated(find, params.url, source, ctx.limits)


def find(url: str, source: Descriptor, limits: MediaLimits) -> Faces:
    """Runs in a decoder child."""
    from tasks.toolkit.geometry import Size
    from tasks.toolkit.sight import pixels
    from tasks.toolkit.sight.faces import ALL_TURNS, FaceFinder

    image, size = pixels.read_image(url, source, LONGEST_SIDE, limits)
    seen = Size(image.width, image.height)
    found = FaceFinder().find(pixels.pixels_of(image, seen), ALL_TURNS)
    faces = [
        Face(
            type="face",
            **asdict(one.rectangle.scaled(seen, size)),
            confidence=one.confidence,
            rotation=one.rotation,
        )
        for one in found
    ]
    return Faces(faces=faces, width=size.width, height=size.height)
