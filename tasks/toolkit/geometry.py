"""Computes how large a picture becomes, in whole pixels."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from dragon.task import MediaLimits, Pixels, TaskFailed


class Size(Struct, frozen=True):
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    def turned(self, degrees: int) -> "Size":
        """The size after a turn by a multiple of 90 degrees, either way."""
        return Size(self.height, self.width) if degrees % 180 else self

    def even(self) -> "Size":
        """The size with even sides, as most video codecs halve the colour."""
        return Size(max(2, self.width // 2 * 2), max(2, self.height // 2 * 2))


class Rectangle(Struct, frozen=True):
    """A part of a picture in pixels, `x` and `y` those of its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    def scaled(self, picture: Size, other: Size) -> "Rectangle":
        """Where the same part of the same picture is in another size of it; never empty."""
        left, right = _edges(self.x, self.width, picture.width, other.width)
        top, bottom = _edges(self.y, self.height, picture.height, other.height)
        return Rectangle(left, top, right - left, bottom - top)


Crop = Annotated[
    bool | Literal["smart"],
    Meta(description='true, false or "smart"'),
]
"""Whether a box is filled by cutting what is over: from the middle, or where it matters least."""


class Box(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size that was asked for; `crop` true fills the box, false fits inside it."""

    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False


class Layout(Struct, frozen=True):
    """A picture is resized to `scaled`, then `output` is cut from it."""

    scaled: Size
    output: Size


def lay_out(source: Size, box: Box) -> Layout:
    """How a source gets the size that was asked for, enlarged where it is too small.

    With one of width and height the other follows from the aspect ratio, with neither the
    source's size is kept; no side ever falls below one pixel.
    """
    if box.width is None and box.height is None:
        return Layout(source, source)
    by_width = _with_width(source, box.width) if box.width else None
    by_height = _with_height(source, box.height) if box.height else None
    if by_width is None or by_height is None:
        scaled = by_width or by_height or source
        return Layout(scaled, scaled)
    if not box.crop:
        scaled = min(by_width, by_height, key=_area)
        return Layout(scaled, scaled)
    covering = max(by_width, by_height, key=_area)
    return Layout(covering, Size(by_width.width, by_height.height))


def middle(whole: Size, part: Size) -> Rectangle:
    """Where a part lies in the middle of the whole."""
    left = (whole.width - part.width) // 2
    return Rectangle(left, (whole.height - part.height) // 2, part.width, part.height)


def cover(source: Size, sizes: list[Size]) -> Size:
    """The smallest scaled source from which all of `sizes` can be made without enlarging it.

    Where that would enlarge the source itself, the source's size.
    """
    width = max(size.width for size in sizes)
    height = max(size.height for size in sizes)
    if width >= source.width or height >= source.height:
        return source
    return max(_with_width(source, width), _with_height(source, height), key=_area)


def shrink_to(source: Size, longest: int) -> Size:
    """The source's size, made smaller if need be so that no side is longer than `longest`."""
    if max(source.width, source.height) <= longest:
        return source
    return min(_with_width(source, longest), _with_height(source, longest), key=_area)


def check_limits(what: str, size: Size, frames: int, limits: MediaLimits) -> None:
    """Refuse, before anything is decoded, a picture that would unfold to too much.

    `what` begins the message. Raises TaskFailed, naming the limit and the setting of it.
    """
    if frames > limits.max_frames:
        raise TaskFailed(
            f"{what} has {frames} frames, more than the limit of {limits.max_frames} (max_frames)"
        )
    if _area(size) * frames > limits.max_pixels:
        times = "" if frames == 1 else f" in each of {frames} frames"
        raise TaskFailed(
            f"{what} has {size} pixels{times}, "
            f"more than the limit of {limits.max_pixels} (max_pixels)"
        )


def check_video(what: str, size: Size, frames: int, limits: MediaLimits) -> None:
    """The same for a video, of which one frame after the other is in memory."""
    check_limits(what, size, 1, limits)
    if frames > limits.max_video_frames:
        raise TaskFailed(
            f"{what} has {frames} frames, "
            f"more than the limit of {limits.max_video_frames} (max_video_frames)"
        )
    if _area(size) * frames > limits.max_video_pixels:
        raise TaskFailed(
            f"{what} has {size} pixels in each of {frames} frames, "
            f"more than the limit of {limits.max_video_pixels} (max_video_pixels)"
        )


def check_sum(what: str, sizes: Iterable[Size], limits: MediaLimits) -> None:
    """The same of several pictures that are in memory at once."""
    total = sum(map(_area, sizes))
    if total > limits.max_pixels:
        raise TaskFailed(
            f"{what} have {total} pixels, more than the limit of {limits.max_pixels} (max_pixels)"
        )


def _with_width(source: Size, width: int) -> Size:
    return Size(width, _scale(source.height, width, source.width))


def _with_height(source: Size, height: int) -> Size:
    return Size(_scale(source.width, height, source.height), height)


def _edges(start: int, length: int, picture: int, other: int) -> tuple[int, int]:
    """Both rounded, not the length, so that parts that lay side by side still do."""
    first = min(round(start * other / picture), other - 1)
    return first, max(first + 1, round((start + length) * other / picture))


def _scale(length: int, numerator: int, denominator: int) -> int:
    """The nearest whole pixel in exact arithmetic, so that the aspect ratio never drifts."""
    return max(1, (2 * length * numerator + denominator) // (2 * denominator))


def _area(size: Size) -> int:
    return size.width * size.height
