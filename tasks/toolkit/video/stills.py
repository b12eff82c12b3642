"""Makes upright sRGB pictures of the frames of a video; in decoder children."""

from typing import cast

from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation
from pyvips import GValue, Image

from tasks.toolkit.geometry import Size
from tasks.toolkit.media import color_codes
from tasks.toolkit.media.streams import orientation_of
from tasks.toolkit.video import tones

_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_UNSPECIFIED = 2
_HD = Size(1280, 720)


def still_of(frame: VideoFrame, size: Size) -> Image:
    """The frame upright, of exactly that size, as 8-bit sRGB, with alpha if it has some."""
    orientation = orientation_of(frame)
    stored = size.turned(90 * (orientation >= 5))
    frame = _whole(frame) if frame.interlaced_frame and not frame.format.is_rgb else frame
    transfer = color_codes.TRANSFERS.get(frame.color_trc)
    primaries = color_codes.PRIMARIES.get(frame.color_primaries)
    if tones.is_srgb(transfer, primaries):
        has_alpha = any(part.is_alpha for part in frame.format.components)
        image = _scaled(frame, stored, "rgba" if has_alpha else "rgb24")
    else:
        image = tones.to_srgb(_scaled(frame, stored, "rgb48le"), transfer, primaries)
    return _upright(image.copy_memory(), orientation)


def _whole(frame: VideoFrame) -> VideoFrame:
    """One moment of the two in an interlaced frame, whose missing lines are drawn along edges.

    Other filters look at the frames before and after, and leave one that stands alone combed.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    filter, sink = graph.add("estdif", "mode=frame"), graph.add("buffersink")
    source.link_to(filter)
    filter.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    return cast(VideoFrame, graph.pull())


def _scaled(frame: VideoFrame, size: Size, format: str) -> Image:
    """As libvips sees the memory that FFmpeg scaled into, whose rows may be longer."""
    scaled = frame.reformat(
        size.width,
        size.height,
        format,
        src_colorspace=_matrix_of(frame),
        interpolation=int(_SCALING),
        threads=1,
    )
    [plane] = scaled.planes
    kind, bytes_each = ("ushort", 2) if format == "rgb48le" else ("uchar", 1)
    bands = 4 if format == "rgba" else 3
    rows = Image.new_from_memory(
        bytes(plane), plane.line_size // bytes_each, size.height, 1, kind
    ).crop(0, 0, size.width * bands, size.height)
    return rows.bandfold(factor=bands).copy(interpretation="srgb")


def _matrix_of(frame: VideoFrame) -> Colorspace | None:
    """What a file is silent about is guessed as players do: HD is BT.709, all else BT.601."""
    if frame.colorspace != _UNSPECIFIED:
        return None
    is_hd = frame.width >= _HD.width or frame.height >= _HD.height
    return Colorspace.ITU709 if is_hd else Colorspace.ITU601


def _upright(image: Image, orientation: int) -> Image:
    if orientation == 1:
        return image
    turned = image.copy()
    turned.set_type(GValue.gint_type, "orientation", orientation)
    return turned.autorot()
