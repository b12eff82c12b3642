"""Carries out operations on the frames of a picture with libvips; only decoder children import it.

Every frame is 8-bit sRGB or grey, with or without alpha.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pyvips import Image, Interpolate

from tasks.toolkit.geometry import Size, lay_out
from tasks.toolkit.pictures import framing, operations, vips
from tasks.toolkit.pictures.operations import Operation

Frames = list[Image]

_STRONG_SIGMA = 5.0


def edit(frames: Frames, order: Sequence[Operation], marks: Iterable[Image]) -> Frames:
    """The frames after all operations; `marks` are the pictures of the watermarks, in order.

    Computed after each: pixels that one operation asks of the one before would else be computed
    many times, as it needs those around each, too.
    """
    left = iter(marks)
    for operation in order:
        if isinstance(operation, operations.Watermark):
            mark = next(left)
            frames = [_watermark(frame, operation, mark) for frame in frames]
        elif isinstance(operation, operations.Resize):
            frames = _resize(frames, operation)
        elif change := _CHANGES.get(type(operation)):
            frames = [change(frame, operation) for frame in frames]
        frames = [vips.in_memory(frame) for frame in frames]
    return frames


def size_of(frame: Image) -> Size:
    return Size(frame.width, frame.height)


def _resize(frames: Frames, box: operations.Resize) -> Frames:
    size = size_of(frames[0])
    layout = lay_out(size, box)
    if layout.scaled != size:
        width, height = layout.scaled.width, layout.scaled.height
        frames = [frame.thumbnail_image(width, height=height, size="force") for frame in frames]
    return framing.cut_all(frames, layout.output, box.crop)


def _crop(frame: Image, crop: operations.Crop) -> Image:
    return framing.cut(frame, crop.part(size_of(frame)))


def _rotate(frame: Image, rotate: operations.Rotate) -> Image:
    if rotate.degrees % 90 == 0:
        return framing.turn(frame, round(rotate.degrees) % 360)
    size = rotate.size_after(size_of(frame))
    # Its corners are clear: colours are weighed by alpha, or black would shine through at edges.
    turned = (
        framing.with_alpha(frame)
        .premultiply()
        .rotate(-rotate.degrees, interpolate=Interpolate.new("bicubic"), background=[0, 0, 0, 0])
        .unpremultiply()
        .cast("uchar")
        .gravity("centre", size.width, size.height, extend="background", background=[0, 0, 0, 0])
    )
    return framing.on_background(turned, rotate.background)


def _flip(frame: Image, flip: operations.Flip) -> Image:
    return frame.fliphor() if flip.direction == "horizontal" else frame.flipver()


def _background(frame: Image, background: operations.Background) -> Image:
    return framing.on_background(frame, background.color)


def _blur(frame: Image, blur: operations.Blur) -> Image:
    """A strong one is done on fewer pixels, which takes a hundredth of the time.

    In floating point: libvips' blur of whole numbers may change how light all is by 2 %.
    """
    image = frame.premultiply() if frame.hasalpha() else frame.cast("float")
    scale = max(1.0, min(blur.sigma / _STRONG_SIGMA, image.width, image.height))
    small = image.resize(1 / scale) if scale > 1 else image
    sigma = blur.sigma * small.width / image.width
    blurred = small.gaussblur(sigma, min_ampl=0.01, precision="float")
    if scale > 1:
        stretch = image.height / small.height
        blurred = blurred.resize(image.width / small.width, vscale=stretch, kernel="cubic")
    if frame.hasalpha():
        blurred = blurred.unpremultiply()
    return blurred.rint().cast("uchar").copy(interpretation=frame.interpretation)


def _sharpen(frame: Image, sharpen: operations.Sharpen) -> Image:
    return frame.sharpen(sigma=sharpen.sigma, m2=sharpen.amount)


def _grey(frame: Image, _: operations.Grey) -> Image:
    return frame.colourspace("b-w")


def _watermark(frame: Image, watermark: operations.Watermark, mark: Image) -> Image:
    place = watermark.place_of(size_of(mark), size_of(frame))
    mark = framing.with_alpha(mark) * [1, 1, 1, watermark.opacity]
    mark = mark.copy(interpretation="srgb")
    marked = frame.colourspace("srgb").composite2(mark, "over", x=place.x, y=place.y)
    return (marked if frame.hasalpha() else marked[:3]).cast("uchar")


_CHANGES: dict[type, Callable[[Image, Any], Image]] = {
    operations.Crop: _crop,
    operations.Rotate: _rotate,
    operations.Flip: _flip,
    operations.Background: _background,
    operations.Blur: _blur,
    operations.Sharpen: _sharpen,
    operations.Grey: _grey,
}
