"""Finds where a picture draws the eye; only decoder children import it."""

from pyvips import Image

from tasks.toolkit.geometry import Rectangle, Size


def crop_window(image: Image, size: Size) -> Rectangle:
    """The part of that size, no larger than the picture, that should be kept of it."""
    kept = image.smartcrop(size.width, size.height, interesting="attention")
    return Rectangle(-kept.xoffset, -kept.yoffset, size.width, size.height)
