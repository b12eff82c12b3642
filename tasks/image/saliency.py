"""image.saliency: the points of a picture that draw the eye."""

from msgspec import Struct

from dragon.task import Context, Descriptor, MediaLimits, Params, Result, SourceUrl, task

MOST_POINTS = 30


class SaliencyParams(Params, frozen=True):
    url: SourceUrl


class Point(Struct, frozen=True, kw_only=True):
    """A place in pixels from the upper left corner; `weight` is 1 for the one that does most."""

    x: int
    y: int
    weight: float


class Saliency(Result, frozen=True):
    """At most 30 points, the strongest first, in a picture of `width` and `height` as seen upright.

    Faces draw the eye before all else; nothing does in a picture of a single colour.
    """

    points: list[Point]
    width: int
    height: int


@task("image.saliency", timeout_seconds=60)
async def saliency(params: SaliencyParams, ctx: Context) -> Saliency:
    source = await ctx.fetch(params.url)
    return await ctx.isolated(find, params.url, source, ctx.limits)


def find(url: str, source: Descriptor, limits: MediaLimits) -> Saliency:
    """Runs in a decoder child."""
    from tasks.toolkit.sight import attention, pixels
    from tasks.toolkit.sight.saliency import peaks

    image, size = pixels.read_image(url, source, attention.FACES_SIDE, limits)
    points = [
        Point(x=int(peak.x * size.width), y=int(peak.y * size.height), weight=peak.weight)
        for peak in peaks(attention.attend(image).map, MOST_POINTS)
    ]
    return Saliency(points=points, width=size.width, height=size.height)
