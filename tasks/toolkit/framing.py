"""Turns and cuts every frame of a picture with libvips; only decoder children import it."""

import pyvips
from pyvips import Image

from tasks.toolkit.geometry import Crop, Rectangle, Size, middle

_CLOCKWISE = {0: "d0", 90: "d270", 180: "d180", 270: "d90"}


def frames_of(image: Image) -> list[Image]:
    """The frames of a picture that has them one below the other."""
    height = image.get_page_height()
    return [image.crop(0, top, image.width, height) for top in range(0, image.height, height)]


def turn_and_cut(image: Image, size: Size, *, rotation: int = 0, crop: Crop = True) -> Image:
    """Each frame turned counter-clockwise, and cut to `size`.

    From its middle, or if `crop` is "smart" where the first frame is most interesting.
    """
    if not rotation and Size(image.width, image.get_page_height()) == size:
        return image
    frames = [frame.rot(_CLOCKWISE[rotation]) for frame in frames_of(image)]
    window = _window(frames[0], size, crop)
    return joined([cut(frame, window) for frame in frames])


def cut(frame: Image, part: Rectangle) -> Image:
    return frame.crop(part.x, part.y, part.width, part.height)


def joined(frames: list[Image]) -> Image:
    """One picture of these frames, one below the other, with the metadata of the first.

    All in one pass: joining thousands of frames that were joined before takes seconds.
    """
    image = Image.arrayjoin(frames, across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return image


def _window(frame: Image, size: Size, crop: Crop) -> Rectangle:
    whole = Size(frame.width, frame.height)
    if crop != "smart" or whole == size:
        return middle(whole, size)
    # Looking for faces takes libraries that few pictures need.
    from tasks.toolkit.attention import crop_window

    return crop_window(frame, size)
