"""Turns and cuts every frame of a picture with libvips; only decoder children import it."""

import pyvips
from pyvips import Image

from tasks.toolkit.colors import Color, rgba
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


def pad(image: Image, size: Size, background: Color) -> Image:
    """One frame as 8-bit RGBA in the middle of a background, which shows through it, too."""
    image = with_alpha(image)
    if rgba(background)[3]:
        image = plain(Size(image.width, image.height), background).composite2(image, "over")
    padded = image.gravity(
        "centre", size.width, size.height, extend="background", background=rgba(background)
    )
    return padded.cast("uchar")


def with_alpha(image: Image) -> Image:
    image = image.colourspace("srgb")
    return image if image.hasalpha() else image.addalpha()


def without_idle_alpha(image: Image) -> Image:
    """The picture without its alpha if all of it is solid; what it is made of must be at hand."""
    return image[:-1] if image.hasalpha() and image[-1].min() == 255 else image


def plain(size: Size, color: Color) -> Image:
    """All of one colour, as 8-bit RGBA."""
    pixels = (Image.black(size.width, size.height, bands=4) + rgba(color)).cast("uchar")
    return pixels.copy(interpretation="srgb")


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
