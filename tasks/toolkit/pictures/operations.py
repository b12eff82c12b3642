"""What can be done to a picture, one operation after the other."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragon.task import Pixels, SourceUrl, TaskFailed
from tasks.toolkit.colors import CLEAR, Color
from tasks.toolkit.geometry import Box, Rectangle, Size, lay_out, middle
from tasks.toolkit.pictures.formats import Format, Quality

Offset = Annotated[int, Meta(ge=0, le=1_000_000, description="a whole number of pixels, 0 or more")]
Degrees = Annotated[
    float, Meta(ge=-360, le=360, description="a number of degrees from -360 to 360")
]
Share = Annotated[float, Meta(gt=0, le=1, description="a number above 0, up to 1")]
BlurSigma = Annotated[float, Meta(ge=0.3, le=100, description="a number of pixels from 0.3 to 100")]
SharpenSigma = Annotated[
    float, Meta(ge=0.1, le=10, description="a number of pixels from 0.1 to 10")
]
Amount = Annotated[float, Meta(gt=0, le=10, description="a number above 0, up to 10")]
Position = Literal[
    "top-left",
    "top",
    "top-right",
    "left",
    "center",
    "right",
    "bottom-left",
    "bottom",
    "bottom-right",
]


class _Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`size_after` is that of a picture after it, in pixels."""

    def size_after(self, size: Size) -> Size:
        return size


class Resize(Box, frozen=True, kw_only=True, tag="resize"):
    """As `image.thumb` does: inside a box, or with `crop` filling it."""

    def size_after(self, size: Size) -> Size:
        return lay_out(size, self).output


class Crop(_Operation, frozen=True, tag="crop"):
    """Keep a part; `x` and `y` are those of its upper left corner, without them it is the middle.

    It must lie inside the picture.
    """

    width: Pixels
    height: Pixels
    x: Offset | None = None
    y: Offset | None = None

    def size_after(self, size: Size) -> Size:
        part = self.part(size)
        if (
            part.x < 0
            or part.y < 0
            or part.x + part.width > size.width
            or (part.y + part.height > size.height)
        ):
            raise TaskFailed(
                f"{part.width}x{part.height} at {part.x},{part.y} does not lie inside "
                f"the picture of {size}"
            )
        return Size(self.width, self.height)

    def part(self, size: Size) -> Rectangle:
        centred = middle(size, Size(self.width, self.height))
        x = centred.x if self.x is None else self.x
        y = centred.y if self.y is None else self.y
        return Rectangle(x, y, self.width, self.height)


class Rotate(_Operation, frozen=True, tag="rotate"):
    """Turn counter-clockwise; `background` fills the corners of what is no quarter turn."""

    degrees: Degrees
    background: Color = CLEAR

    def size_after(self, size: Size) -> Size:
        if self.degrees % 90 == 0:
            return size.turned(round(self.degrees))
        angle = math.radians(self.degrees)
        across, along = abs(math.sin(angle)), abs(math.cos(angle))
        return Size(
            max(1, round(size.width * along + size.height * across)),
            max(1, round(size.width * across + size.height * along)),
        )


class Flip(_Operation, frozen=True, tag="flip"):
    """Mirror: left and right change places, or above and below."""

    direction: Literal["horizontal", "vertical"] = "horizontal"


class Background(_Operation, frozen=True, tag="background"):
    """Put a colour behind what is clear."""

    color: Color


class Blur(_Operation, frozen=True, tag="blur"):
    """Blur by a Gaussian of so many pixels."""

    sigma: BlurSigma = 3.0


class Sharpen(_Operation, frozen=True, tag="sharpen"):
    """Sharpen edges about as wide as `sigma`; `amount` is how much."""

    sigma: SharpenSigma = 1.0
    amount: Amount = 3.0


class Grey(_Operation, frozen=True, tag="grey"):
    """Take the colours away."""


class Watermark(_Operation, frozen=True, tag="watermark"):
    """Put a picture over this one, `margin` pixels from the edges that it is at.

    It fits into a box of `scale` times the width and height; without it, into the picture itself,
    and is not enlarged. `opacity` of 1 shows it as it is.
    """

    url: SourceUrl
    position: Position = "bottom-right"
    opacity: Share = 1.0
    scale: Share | None = None
    margin: Offset = 0

    def size_of(self, mark: Size, size: Size) -> Size:
        """How large a mark becomes on a picture."""
        scale = self.scale or 1.0
        width, height = max(1, round(size.width * scale)), max(1, round(size.height * scale))
        if self.scale is None and mark.width <= width and mark.height <= height:
            return mark
        return lay_out(mark, Box(width=width, height=height)).output

    def place_of(self, mark: Size, size: Size) -> Rectangle:
        """Where a mark of that size lies on a picture."""
        centred = middle(size, mark)
        x, y = centred.x, centred.y
        if "left" in self.position:
            x = self.margin
        if "right" in self.position:
            x = size.width - mark.width - self.margin
        if "top" in self.position:
            y = self.margin
        if "bottom" in self.position:
            y = size.height - mark.height - self.margin
        return Rectangle(x, y, mark.width, mark.height)


class SetFormat(_Operation, frozen=True, tag="format"):
    """Write this format; without such an operation it is the source's, or PNG or JPEG."""

    format: Format


class SetQuality(_Operation, frozen=True, tag="quality"):
    """Write this quality, from 1 to 95; of a PNG or GIF, so many colours."""

    quality: Quality


Operation = (
    Resize
    | Crop
    | Rotate
    | Flip
    | Background
    | Blur
    | Sharpen
    | Grey
    | Watermark
    | SetFormat
    | SetQuality
)


def plan(size: Size, operations: Sequence[Operation]) -> list[Size]:
    """The sizes of a picture before all operations, and after each. Raises TaskFailed."""
    sizes = [size]
    for place, operation in enumerate(operations):
        try:
            sizes.append(operation.size_after(sizes[-1]))
        except TaskFailed as error:
            raise TaskFailed(f"operations: [{place}]: {error.message}") from None
    return sizes
