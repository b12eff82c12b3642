"""image.smartcrop: the most interesting rectangles of a picture, of one aspect ratio."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from dragon.task import Context, Descriptor, MediaLimits, Params, Result, SourceUrl, task

Aspect = Annotated[
    float, Meta(ge=0.05, le=20, description="width by height, a number from 0.05 to 20")
]
Count = Annotated[int, Meta(ge=1, le=100, description="a whole number from 1 to 100")]
Share = Annotated[float, Meta(ge=0.01, le=1, description="a number from 0.01 to 1")]


class SmartcropParams(Params, frozen=True):
    """`step_ratio`, how far the search goes on, and `diag_ratio`, the diagonal of the smallest box,
    are shares of the picture's diagonal. `reverse` asks for the least interesting rectangles.
    """

    url: SourceUrl
    aspect_ratio: Aspect = 16 / 9
    boxes_number: Count = 10
    step_ratio: Share = 0.03
    diag_ratio: Share = 0.3
    reverse: bool = False


class Box(Struct, frozen=True, kw_only=True):
    """A rectangle in pixels, `x` and `y` those of its upper left corner.

    `score` is the share that it holds of all that is more interesting than the average (or less,
    with `reverse`), less what is not.
    """

    x: int
    y: int
    width: int
    height: int
    score: float


class Boxes(Result, frozen=True):
    """The rectangles, the best first, in a picture of `width` and `height` as seen upright.

    They do not overlap and, where that can be, cut no face; there is always one, and fewer than
    asked for where the rest is below the average.
    """

    points: list[Box]
    width: int
    height: int


@task("image.smartcrop", timeout_seconds=60)
async def smartcrop(params: SmartcropParams, ctx: Context) -> Boxes:
    source = await ctx.fetch(params.url)
    return await ctx.isolated(find, params, source, ctx.limits)


def find(params: SmartcropParams, source: Descriptor, limits: MediaLimits) -> Boxes:
    """Runs in a decoder child."""
    from tasks.toolkit.sight import attention, pixels
    from tasks.toolkit.sight.boxes import Search, best_boxes

    image, size = pixels.read_image(params.url, source, attention.FACES_SIDE, limits)
    seen = attention.attend(image)
    search = Search(
        aspect_ratio=params.aspect_ratio,
        step_ratio=params.step_ratio,
        diag_ratio=params.diag_ratio,
        most=params.boxes_number,
    )
    interest = 1 - seen.map if params.reverse else seen.map
    boxes = [
        Box(**asdict(found.rectangle), score=found.score)
        for found in best_boxes(interest, seen.heads_in(size), size, search)
    ]
    return Boxes(points=boxes, width=size.width, height=size.height)
