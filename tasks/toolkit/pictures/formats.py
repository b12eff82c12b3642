"""The formats that pictures are written in, and what each can hold."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragon.task import TaskFailed
from tasks.toolkit.geometry import Size

Format = Literal["jpeg", "gif", "png", "webp", "avif"]

MOST_QUALITY = 95

Quality = Annotated[
    int,
    Meta(ge=1, le=MOST_QUALITY, description="a whole number from 1 to 95"),
]
"""How good a picture is that is written; of a PNG or GIF, how many colours are left."""


class Holds(Struct, frozen=True, kw_only=True):
    """What one format can hold; `max_side` is in pixels.

    `quality` is what it is written in unless another is asked for; None is without loss.
    """

    content_type: str
    max_side: int
    alpha: bool = True
    frames: bool = False
    quality: int | None = None


FORMATS: dict[Format, Holds] = {
    "jpeg": Holds(content_type="image/jpeg", max_side=65_500, alpha=False, quality=85),
    "gif": Holds(content_type="image/gif", max_side=65_535, frames=True),
    "png": Holds(content_type="image/png", max_side=1_000_000),
    "webp": Holds(content_type="image/webp", max_side=16_383, frames=True, quality=80),
    "avif": Holds(content_type="image/avif", max_side=16_384, quality=55),
}


def lossy_quality(quality: Quality, format: Format) -> Quality | None:
    """None for formats in which a lower quality would only mean fewer colours."""
    return None if FORMATS[format].quality is None else quality


def check_fits(size: Size, format: Format) -> None:
    """Raises TaskFailed when the format cannot hold a picture of that size."""
    most = FORMATS[format].max_side
    if max(size.width, size.height) > most:
        raise TaskFailed(f"The output would have {size} pixels, {format} holds {most} a side")
