"""Pictures as arrays of numbers, for what looks at them; only decoder children import this."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyvips import Image

from dragon.task import Descriptor, MediaLimits
from tasks.toolkit.geometry import Size, shrink_to
from tasks.toolkit.pictures import vips
from tasks.toolkit.pictures.formats import Format

Pixels = NDArray[Any]
"""Rows of columns of red, green and blue, 0 to 255."""

Map = NDArray[Any]
"""Rows of columns of one number, 0 to 1."""


def read_image(
    url: str, source: Descriptor, longest: int, limits: MediaLimits
) -> tuple[Image, Size]:
    """The first frame upright, no side longer than `longest`, and the size of the picture itself.

    Raises TaskFailed as `vips.open_picture` and `vips.decode` do.
    """
    picture = vips.open_picture(url, source)
    one_frame: Format = "png"
    image = vips.decode(picture, shrink_to(picture.size, longest), one_frame, limits)
    return image, picture.size


def pixels_of(image: Image, size: Size) -> Pixels:
    """The first frame of an image in that size, on white where it is transparent."""
    height = image.get_page_height()
    frame = image if height == image.height else _first(image, height)
    if Size(frame.width, frame.height) != size:
        frame = vips.resize(frame, size)
    if frame.hasalpha():
        frame = frame.flatten(background=255)
    return np.ascontiguousarray(frame.colourspace("srgb").cast("uchar").numpy())


def _first(image: Image, height: int) -> Image:
    frame = image.crop(0, 0, image.width, height).copy()
    frame.remove("page-height")
    return frame
