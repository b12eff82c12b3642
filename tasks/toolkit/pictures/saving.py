"""Writes pictures with libvips; only decoder children import it."""

import functools
from bisect import bisect_right
from typing import Any

import pyvips
from pyvips import Image

from dragon.task import Descriptor, TaskFailed
from tasks.toolkit.pictures.formats import FORMATS, MOST_QUALITY, Format

_SAVERS: dict[Format, tuple[str, dict[str, Any]]] = {
    "jpeg": ("jpegsave_target", {"optimize_coding": True}),
    "gif": ("gifsave_target", {"effort": 4, "keep_duplicate_frames": True}),
    "png": ("pngsave_target", {"compression": 6}),
    "webp": ("webpsave_target", {"effort": 3}),
    "avif": ("heifsave_target", {"effort": 2, "compression": "av1"}),
}


def save(image: Image, descriptor: Descriptor, format: Format, quality: int | None = None) -> None:
    """Write the picture, without metadata, to an open and empty file.

    `quality` is from 1 to 95; None is what suits the format, which for PNG and GIF is all colours.
    """
    _save(image, pyvips.Target.new_to_descriptor(descriptor), format, quality)


def save_within(
    image: Image,
    descriptor: Descriptor,
    format: Format,
    quality: int | None,
    max_bytes: int | None,
) -> int | None:
    """Write it in the best quality, up to the one given, that takes no more bytes than that.

    Answers the quality. Raises TaskFailed if the lowest takes more. The picture should lie in
    memory, as it may be written several times.
    """
    if max_bytes is None:
        save(image, descriptor, format, quality)
        return quality or FORMATS[format].quality
    written = functools.cache(lambda quality: _bytes_of(image, format, quality))
    if len(written(quality)) > max_bytes:
        lower = range(1, quality or FORMATS[format].quality or MOST_QUALITY + 1)
        fitting = bisect_right(lower, max_bytes, key=lambda quality: len(written(quality)))
        if not fitting:
            raise TaskFailed(
                f"The output takes {len(written(1))} bytes in the lowest quality of {format}, more "
                f"than max_bytes ({max_bytes}): choose another format or fewer pixels"
            )
        quality = lower[fitting - 1]
    with open(descriptor, "wb", closefd=False) as file:
        file.write(written(quality))
    return quality or FORMATS[format].quality


def _bytes_of(image: Image, format: Format, quality: int | None) -> bytes:
    target = pyvips.Target.new_to_memory()
    _save(image, target, format, quality)
    return bytes(target.get("blob"))


def _save(image: Image, target: pyvips.Target, format: Format, quality: int | None) -> None:
    if image.hasalpha() and not FORMATS[format].alpha:
        image = image.flatten(background=255)
    saver, options = _SAVERS[format]
    getattr(image, saver)(target, keep="none", **options, **_quality_options(format, quality))


def _quality_options(format: Format, quality: int | None) -> dict[str, Any]:
    """PNG and GIF lose nothing but colours: what quality means for them is how many are left."""
    quality = quality or FORMATS[format].quality
    if quality is None:
        return {}
    if format == "gif":
        return {"bitdepth": -(-quality * 8 // MOST_QUALITY)}
    if format == "png":
        return {"palette": True, "Q": quality, "effort": 4}
    return {"Q": quality}
