"""Reads and resizes pictures with libvips; only decoder children import it."""

import mmap
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pyvips
from msgspec import Struct
from pyvips import Image

from dragon.task import Descriptor, MediaLimits, TaskFailed
from tasks.toolkit.geometry import Size, check_limits
from tasks.toolkit.pictures.formats import FORMATS, Format
from tasks.toolkit.pictures.gif import is_cut
from tasks.toolkit.pictures.sniff import GIF, HEIF, JPEG, SNIFF_BYTES, PictureFormat, sniff

_ALLOWED_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Heif", "Tiff")
_JPEG_SHRINKS = (8, 4, 2)
_LEAST_RESIZE = 1.75
"""What is left to a good filter when a JPEG is decoded at a fraction, which is a mere average.

libvips itself leaves 2, and so decodes 4000x3000 for 300x200 at a quarter, not at an eighth.
"""


_FAILURES = (pyvips.Error, UnicodeDecodeError)
"""The second where what libvips says of a broken file holds bytes of it that are no text."""


def _harden() -> None:
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _ALLOWED_LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.cache_set_max(0)
    # What libvips warns of is for nobody here, and may hold bytes of the file that are no text.
    pyvips._remove_log_handler()


_harden()


class Picture(Struct, frozen=True, kw_only=True):
    """A picture whose header was read, and no pixel; `size` is as seen upright."""

    url: str
    descriptor: Descriptor
    format: PictureFormat
    header: Image
    size: Size
    frames: int


def open_picture(url: str, descriptor: Descriptor) -> Picture:
    """The picture in an open file; `url` is for messages only.

    Raises TaskFailed if this is no picture of a format that is read here.
    """
    format = sniff(os.pread(descriptor, SNIFF_BYTES, 0))
    if format is None:
        raise _not_valid(url)
    try:
        header = getattr(Image, format.loader)(_rewound(descriptor))
    except _FAILURES:
        raise _not_readable(url, format) from None
    return Picture(
        url=url,
        descriptor=descriptor,
        format=format,
        header=header,
        size=Size(header.width, header.height).turned(90 * (orientation_of(header) >= 5)),
        frames=pages_of(header) if format.may_move else 1,
    )


def has_field(header: Image, name: str) -> bool:
    return bool(header.get_typeof(name))


def pages_of(header: Image) -> int:
    """How many pages or frames the file has."""
    return int(header.get("n-pages")) if has_field(header, "n-pages") else 1


def orientation_of(header: Image) -> int:
    """The EXIF orientation from 1 to 8, or 0 where the file has none that makes sense."""
    value = header.get("orientation") if has_field(header, "orientation") else 0
    return value if 1 <= value <= 8 else 0


def texts_of(header: Image, names: Iterable[str]) -> dict[str, str]:
    """The metadata of these names that the header has as readable text."""
    texts = {}
    for name in names:
        with suppress(pyvips.Error, UnicodeDecodeError):
            texts[name] = str(header.get(name))
    return texts


def decode(picture: Picture, size: Size, format: Format, limits: MediaLimits) -> Image:
    """The picture upright, of exactly that size, as 8-bit sRGB or grey, in memory.

    All frames where both the source and the format have them, one below the other; else the
    first. Formats that can be decoded at a fraction of their size are. Raises TaskFailed if the
    file is broken or truncated, or if the source or the result would be over a limit.
    """
    frames = picture.frames if FORMATS[format].frames else 1
    check_limits(f"File '{picture.url}'", picture.size, frames, limits)
    check_limits("The resized picture", size, frames, limits)
    if picture.format is GIF and _is_cut_gif(picture.descriptor):
        raise _not_valid(picture.url)
    options = {"height": size.height, "size": "force", **_colour_options(picture.header)}
    try:
        if picture.format is JPEG:
            image = _load_jpeg(picture, size).thumbnail_image(size.width, **options)
        else:
            options["option_string"] = _loader_options(frames)
            source = _rewound(picture.descriptor)
            image = Image.thumbnail_source(source, size.width, **options)
        return in_memory(image)
    except _FAILURES:
        raise _not_readable(picture.url, picture.format) from None


def in_memory(image: Image) -> Image:
    """The picture with all its pixels computed."""
    try:
        return image.copy_memory()
    except pyvips.Error as error:
        if "out of memory" in str(error.detail).lower():
            raise MemoryError from None
        raise


def resize(image: Image, size: Size) -> Image:
    """Each frame resized to exactly that size."""
    return image.thumbnail_image(size.width, height=size.height, size="force")


def _is_cut_gif(descriptor: Descriptor) -> bool:
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
        return is_cut(data)


def _load_jpeg(picture: Picture, size: Size) -> Image:
    """The picture at the smallest fraction of its size from which `size` can be made well."""
    left = min(picture.size.width / size.width, picture.size.height / size.height)
    shrink = next((shrink for shrink in _JPEG_SHRINKS if left >= shrink * _LEAST_RESIZE), 1)
    return Image.jpegload_source(
        _rewound(picture.descriptor), shrink=shrink, access="sequential", fail_on="error"
    )


def _loader_options(frames: int) -> str:
    """thumbnail_source has an argument `fail_on` too, but ignores it: cut files would pass."""
    return "[fail_on=error,n=-1]" if frames > 1 else "[fail_on=error]"


def _colour_options(header: Image) -> dict[str, str]:
    """Only where a profile says so: a picture without one is sRGB already, converting it costs."""
    is_converted = has_field(header, "icc-profile-data") or header.interpretation == "cmyk"
    return {"output_profile": "srgb"} if is_converted else {}


def _rewound(descriptor: Descriptor) -> Any:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return pyvips.Source.new_from_descriptor(descriptor)


def _not_readable(url: str, format: PictureFormat) -> TaskFailed:
    if format is HEIF:
        return TaskFailed(f"File '{url}' is a HEIF picture that cannot be read, send it as JPEG")
    return _not_valid(url)


def _not_valid(url: str) -> TaskFailed:
    return TaskFailed(f"File '{url}' is not a valid image file")
