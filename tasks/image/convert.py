"""image.convert: a picture after a list of operations, in any format, within so many bytes."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from dragon.task import (
    Context,
    Descriptor,
    File,
    Media,
    MediaLimits,
    Params,
    Result,
    Source,
    SourceUrl,
    task,
)
from tasks.toolkit.geometry import Size, check_limits, check_sum, lay_out
from tasks.toolkit.pictures.formats import FORMATS, Format, Quality, check_fits
from tasks.toolkit.pictures.operations import (
    Operation,
    Resize,
    SetFormat,
    SetQuality,
    Watermark,
    plan,
)

if TYPE_CHECKING:
    from pyvips import Image

Operations = Annotated[
    list[Operation],
    Meta(
        max_length=30,
        description='a list of up to 30 operations, such as [{"type": "grey"}]',
    ),
]

MaxBytes = Annotated[int, Meta(ge=1, description="a whole number of bytes, at least 1")]

_NEAREST: dict[str, Format] = {"heif": "jpeg", "tiff": "png"}
_MOST_OF_A_URL = 500


class ConvertParams(Params, frozen=True):
    """The operations are done in their order; of several formats or qualities the last counts.

    With `max_bytes` the quality is lowered, if need be, until the file takes no more.
    """

    url: SourceUrl
    operations: Operations = []  # noqa: RUF012
    max_bytes: MaxBytes | None = None


class Converted(Result, frozen=True):
    """`quality` is that of the file, None where nothing was lost; `bytes` is how many it takes.

    `original_width` and `original_height` are the source's as seen upright, by its EXIF.
    """

    width: int
    height: int
    original_width: int
    original_height: int
    content_type: str
    quality: int | None
    bytes: int
    output: Annotated[File, Media("image/*")]


class Order(Struct, frozen=True, kw_only=True):
    """What is to be done to a picture, and how it is written."""

    url: str
    operations: Operations
    format: Format
    quality: Quality | None
    max_bytes: int | None


class Edited(Struct, frozen=True, kw_only=True):
    """What came of it: the size before and after, the quality, the bytes."""

    original: Size
    size: Size
    quality: int | None
    bytes: int


@task("image.convert", timeout_seconds=180)
async def convert(params: ConvertParams, ctx: Context) -> Converted:
    source = await ctx.fetch(params.url)
    format = await _format_of(params, source, ctx)
    output = ctx.output("output", FORMATS[format].content_type)
    marks = [await ctx.fetch(one.url) for one in params.operations if isinstance(one, Watermark)]
    order = Order(
        url=params.url,
        operations=[_shortened(operation) for operation in params.operations],
        format=format,
        quality=_last_quality(params.operations),
        max_bytes=params.max_bytes,
    )
    edited = await ctx.isolated(render, order, ctx.limits, source, output, *marks)
    return Converted(
        width=edited.size.width,
        height=edited.size.height,
        original_width=edited.original.width,
        original_height=edited.original.height,
        content_type=output.content_type,
        quality=edited.quality,
        bytes=edited.bytes,
        output=output,
    )


async def _format_of(params: ConvertParams, source: Source, ctx: Context) -> Format:
    formats = [one.format for one in params.operations if isinstance(one, SetFormat)]
    return formats[-1] if formats else await ctx.isolated(own_format, params.url, source)


def own_format(url: str, source: Descriptor) -> Format:
    """Runs in a decoder child: the source's format, or if that is not written the nearest."""
    from tasks.toolkit.pictures import vips

    name = vips.open_picture(url, source).format.name
    return next((format for format in FORMATS if format == name), _NEAREST.get(name, "png"))


def render(
    order: Order, limits: MediaLimits, source: Descriptor, output: Descriptor, *marks: Descriptor
) -> Edited:
    """Runs in a decoder child; `marks` are the pictures of the watermarks, in order."""
    from tasks.toolkit.pictures import editing, framing, saving, vips

    picture = vips.open_picture(order.url, source)
    sizes = plan(picture.size, order.operations)
    _check(order, sizes, picture.frames, limits)
    decoded_marks = _decode_marks(order, sizes, marks, limits)
    base = vips.decode(picture, _first_size(picture.size, order), order.format, limits)
    frames = editing.edit(framing.frames_of(base), order.operations, decoded_marks)
    image = framing.without_idle_alpha(vips.in_memory(framing.joined(frames, base)))
    quality = saving.save_within(image, output, order.format, order.quality, order.max_bytes)
    return Edited(
        original=picture.size, size=sizes[-1], quality=quality, bytes=os.fstat(output).st_size
    )


def _check(order: Order, sizes: Sequence[Size], frames: int, limits: MediaLimits) -> None:
    frames = frames if FORMATS[order.format].frames else 1
    for place, size in enumerate(sizes[1:]):
        check_limits(f"The picture after operations[{place}]", size, frames, limits)
    check_fits(sizes[-1], order.format)


def _decode_marks(
    order: Order, sizes: Sequence[Size], descriptors: Sequence[Descriptor], limits: MediaLimits
) -> "list[Image]":
    """The pictures of the watermarks, each as large as it is shown."""
    from tasks.toolkit.pictures import vips

    watermarks = [
        (operation, size)
        for operation, size in zip(order.operations, sizes, strict=False)
        if isinstance(operation, Watermark)
    ]
    pictures = [
        vips.open_picture(watermark.url, descriptor)
        for (watermark, _), descriptor in zip(watermarks, descriptors, strict=True)
    ]
    mark_sizes = [
        watermark.size_of(picture.size, size)
        for (watermark, size), picture in zip(watermarks, pictures, strict=True)
    ]
    check_sum("The watermarks", mark_sizes, limits)
    return [
        vips.decode(picture, size, "png", limits)
        for picture, size in zip(pictures, mark_sizes, strict=True)
    ]


def _first_size(size: Size, order: Order) -> Size:
    """What the source is decoded at: several formats can be decoded at a fraction of their size."""
    first = next(iter(order.operations), None)
    return lay_out(size, first).scaled if isinstance(first, Resize) else size


def _last_quality(operations: Sequence[Operation]) -> Quality | None:
    qualities = [one.quality for one in operations if isinstance(one, SetQuality)]
    return qualities[-1] if qualities else None


def _shortened(operation: Operation) -> Operation:
    """An address is but for messages by then, and thirty long ones are more than a call holds."""
    if isinstance(operation, Watermark):
        return msgspec.structs.replace(operation, url=operation.url[:_MOST_OF_A_URL])
    return operation
