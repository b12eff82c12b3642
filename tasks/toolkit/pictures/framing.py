"""Turns, cuts and pads frames of pictures with libvips; only decoder children import it."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyvips
from pyvips import Image

from tasks.toolkit.colors import Color, rgba
from tasks.toolkit.geometry import Crop, Rectangle, Size, middle
from tasks.toolkit.progress import Meter

if TYPE_CHECKING:
    from tasks.toolkit.sight.attention import Attention

_CLOCKWISE = {0: "d0", 90: "d270", 180: "d180", 270: "d90"}

Look = Callable[[Size, Size], Rectangle]
"""Tells which part of the second size is the most interesting of a picture in the first size."""


def looking_at(image: Image) -> Look:
    """Looks at the first frame of a picture once, and not before it is asked."""

    @functools.cache
    def attention() -> "Attention":
        # Finding faces takes libraries that few pictures need.
        from tasks.toolkit.sight.attention import attend

        return attend(image)

    return lambda whole, part: attention().window(whole, part)


def turn_and_cut(
    image: Image, size: Size, *, rotation: int = 0, crop: Crop = True, look: Look | None = None
) -> Image:
    """Each frame turned counter-clockwise, and cut to `size`.

    From its middle, or if `crop` is "smart" where `look`, or else the first frame, says.
    """
    if not rotation and Size(image.width, image.get_page_height()) == size:
        return image
    frames = [turn(frame, rotation) for frame in frames_of(image)]
    return joined(cut_all(frames, size, crop, look), image)


def frames_of(image: Image) -> list[Image]:
    """The frames of a picture that has them one below the other."""
    height = image.get_page_height()
    return [image.crop(0, top, image.width, height) for top in range(0, image.height, height)]


def metered(image: Image, meter: Meter, frames: int) -> Image:
    """The same picture of so many frames; while it is written, tells how much of it was."""

    def tell(_: Image, progress: Any) -> None:
        meter.reached(progress.percent / 100, frames=frames)

    image = image.copy()
    image.set_progress(True)
    image.signal_connect("eval", tell)
    return image


def joined(frames: list[Image], like: Image | None = None) -> Image:
    """One picture of these frames, one below the other, timed as another is.

    All in one pass: joining thousands of frames that were joined before takes seconds.
    """
    image = Image.arrayjoin(frames, across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    for name in ("delay", "loop"):
        if like and (kind := like.get_typeof(name)):
            image.set_type(kind, name, like.get(name))
    return image


def turn(frame: Image, degrees: int) -> Image:
    """By 0, 90, 180 or 270 degrees, counter-clockwise."""
    return frame.rot(_CLOCKWISE[degrees])


def cut_all(frames: list[Image], size: Size, crop: Crop, look: Look | None = None) -> list[Image]:
    """The same part of each frame."""
    whole = Size(frames[0].width, frames[0].height)
    if whole == size:
        return frames
    choose = (look or looking_at(frames[0])) if crop == "smart" else middle
    part = choose(whole, size)
    return [cut(frame, part) for frame in frames]


def cut(frame: Image, part: Rectangle) -> Image:
    return frame.crop(part.x, part.y, part.width, part.height)


def pad(frame: Image, size: Size, background: Color) -> Image:
    """The frame as RGBA in the middle of a background, which shows through it, too."""
    padded = on_background(with_alpha(frame), background)
    return with_alpha(padded).gravity(
        "centre", size.width, size.height, extend="background", background=rgba(background)
    )


def on_background(frame: Image, color: Color) -> Image:
    """The frame with a colour behind what is clear of it."""
    *solid, alpha = rgba(color)
    if not alpha or not frame.hasalpha():
        return frame
    frame = frame.colourspace("srgb")
    if alpha == 255:
        return frame.flatten(background=solid)
    behind = (Image.black(frame.width, frame.height, bands=4) + rgba(color)).cast("uchar")
    return behind.copy(interpretation="srgb").composite2(frame, "over").cast("uchar")


def with_alpha(frame: Image) -> Image:
    frame = frame.colourspace("srgb")
    return frame if frame.hasalpha() else frame.addalpha()


def without_idle_alpha(image: Image) -> Image:
    """The picture without its alpha if all of it is solid; computes it."""
    return image[:-1] if image.hasalpha() and image[image.bands - 1].min() == 255 else image
