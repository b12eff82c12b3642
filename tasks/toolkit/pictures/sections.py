"""Collects many pictures in one file of raw pixels, each resized into a section of one size.

So that a job holds no more of its sources than a few at a time, however many there are.
"""

import asyncio
import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from dragon.task import Context, Descriptor, File, MediaLimits, SourceUrl
from tasks.toolkit.colors import Color
from tasks.toolkit.geometry import Box, Crop, Size, lay_out
from tasks.toolkit.progress import Meter
from tasks.toolkit.sources import forget
from tasks.toolkit.together import together

if TYPE_CHECKING:
    from pyvips import Image

Urls = Annotated[
    list[SourceUrl],
    Meta(
        min_length=1,
        max_length=200,
        description="a list of 1 to 200 pictures, each an http or https URL, dragon:KEY/FILE or "
        "s3://BUCKET/KEY",
    ),
]

COLLECTED = 0.8
"""Of the whole work; to write what becomes of the sections is the rest."""

_AT_ONCE = 4
_BANDS = 4


class Section(Struct, frozen=True, kw_only=True):
    """How a picture becomes a section: cut to fill it, or in the middle of a background."""

    size: Size
    crop: Crop
    background: Color


async def collect(
    ctx: Context,
    urls: Sequence[str],
    box: Box,
    background: Color,
    check: Callable[[Size], None],
) -> tuple[File, Size]:
    """Fetch the pictures and make a section of each; a moving one gives its first frame.

    Answers a file of the sections, one after the other in rows of RGBA, and their size. What the
    box leaves open of it follows from the first picture. `check` gets the size, and may refuse it
    before any picture is decoded.
    """
    first = await ctx.fetch(urls[0])
    size = await ctx.isolated(measure, urls[0], first, box)
    check(size)
    file = ctx.output("sections", "application/octet-stream")
    section = Section(size=size, crop=box.crop, background=background)
    fetched = {urls[0]: first}
    slots = asyncio.Semaphore(_AT_ONCE)
    placed: list[int] = []
    meter = Meter(ctx.progress, end=COLLECTED)

    async def add(url: str, places: list[int]) -> None:
        async with slots:
            source = fetched.pop(url, None) or await ctx.fetch(url)
            await ctx.isolated(place, url, source, file, section, places, ctx.limits)
            forget(source)
        placed.extend(places)
        meter.reached(len(placed) / len(urls), frames=len(placed))

    await together(add(url, places) for url, places in _places(urls).items())
    return file, size


def measure(url: str, source: Descriptor, box: Box) -> Size:
    """Runs in a decoder child: how large a section is, if this is the first picture."""
    from tasks.toolkit.pictures import vips

    picture = vips.open_picture(url, source)
    return section_size(picture.size, box)


def section_size(first: Size, box: Box) -> Size:
    """How large sections are whose first picture has that size."""
    if box.width and box.height:
        return Size(box.width, box.height)
    return lay_out(first, box).output


def place(
    url: str,
    source: Descriptor,
    file: Descriptor,
    section: Section,
    places: list[int],
    limits: MediaLimits,
) -> None:
    """Runs in a decoder child: writes the picture as these sections of the file."""
    from tasks.toolkit.pictures import framing, vips

    picture = vips.open_picture(url, source)
    size, crop = section.size, section.crop
    layout = lay_out(picture.size, Box(width=size.width, height=size.height, crop=crop))
    image = vips.decode(picture, layout.scaled, "png", limits)
    image = framing.turn_and_cut(image, layout.output, crop=crop)
    pixels = framing.pad(image, size, section.background).write_to_memory()
    for position in places:
        write_section(file, pixels, position)


def write_section(file: Descriptor, pixels: bytes, position: int) -> None:
    """All sections of a file have the same size."""
    left, offset = memoryview(pixels), position * len(pixels)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written


def read_sections(file: Descriptor, size: Size, count: int) -> "list[Image]":
    """Runs in a decoder child."""
    from pyvips import Image

    bytes_each = size.width * size.height * _BANDS
    pixels = mmap.mmap(file, count * bytes_each, access=mmap.ACCESS_READ)
    image = Image.new_from_memory(pixels, size.width, size.height * count, _BANDS, "uchar")
    image = image.copy(interpretation="srgb")
    tops = range(0, image.height, size.height)
    return [image.crop(0, top, size.width, size.height) for top in tops]


def _places(urls: Iterable[str]) -> dict[str, list[int]]:
    """Each picture once, with where it stands."""
    places: dict[str, list[int]] = {}
    for place, url in enumerate(urls):
        places.setdefault(url, []).append(place)
    return places
