"""Writes pictures with libvips; only decoder children import it."""

from typing import Any

import pyvips
from pyvips import Image

from dragon.task import Descriptor
from tasks.toolkit.formats import FORMATS, Format

_SAVERS: dict[Format, tuple[str, dict[str, Any]]] = {
    "jpeg": ("jpegsave_target", {"Q": 85, "optimize_coding": True}),
    "gif": ("gifsave_target", {"effort": 4, "keep_duplicate_frames": True}),
    "png": ("pngsave_target", {"compression": 6}),
    "webp": ("webpsave_target", {"Q": 80, "effort": 3}),
    "avif": ("heifsave_target", {"Q": 55, "effort": 2, "compression": "av1"}),
}


def save(image: Image, descriptor: Descriptor, format: Format, quality: int | None = None) -> None:
    """Write the picture, without metadata, to an open and empty file.

    `quality` is from 1 to 95; None is what suits the format, which for PNG and GIF is all colours.
    """
    if image.hasalpha() and not FORMATS[format].alpha:
        image = image.flatten(background=255)
    saver, options = _SAVERS[format]
    if quality is not None:
        options = options | _quality_options(format, quality)
    getattr(image, saver)(pyvips.Target.new_to_descriptor(descriptor), keep="none", **options)


def _quality_options(format: Format, quality: int) -> dict[str, Any]:
    """PNG and GIF lose nothing but colours: what quality means for them is how many are left."""
    if format == "gif":
        return {"bitdepth": -(-quality * 8 // 95)}
    if format == "png":
        return {"palette": True, "Q": quality}
    return {"Q": quality}
