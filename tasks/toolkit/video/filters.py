"""Builds the chain of ffmpeg's filters that makes a video's frames what is asked for."""

from msgspec import Struct

from tasks.toolkit.geometry import Layout, Size
from tasks.toolkit.media.media import VideoStream

HD_HEIGHT = 720
"""From here on a video that does not tell its colour matrix is taken as BT.709, else BT.601."""


class Frames(Struct, frozen=True, kw_only=True):
    """What frames shall become; `pixel_format` has FFmpeg's name.

    `layout` is of the video as seen upright, `frame_rate` None keeps the times as they are.
    `pad` adds black edges up to that size. With `is_bt709` colours are turned into BT.709, so
    that videos can follow each other.
    """

    layout: Layout
    pixel_format: str
    keeps_hdr: bool = False
    frame_rate: float | None = None
    pad: Size | None = None
    is_bt709: bool = False

    @property
    def has_alpha(self) -> bool:
        return self.pixel_format in ("yuva420p", "bgra")

    @property
    def is_rgb(self) -> bool:
        return self.pixel_format in ("rgb24", "bgra")


def filter_chain(video: VideoStream, frames: Frames) -> str:
    """The filters in their order; ffmpeg itself turns frames upright before them."""
    return ",".join(
        [
            *_tell_colours(video),
            *_weave(video),
            *_set_rate(frames),
            *_flatten(video, frames),
            *_scale(video, frames),
            *_tone_map(video, frames),
            *_cut(frames.layout),
            *_pad(frames),
            "setsar=1",
            f"format={frames.pixel_format}",
        ]
    )


def even(layout: Layout) -> Layout:
    """The layout with even sides; a pixel is cut."""
    output = layout.output.even()
    scaled = layout.scaled
    if scaled == layout.output:
        return Layout(output, output)
    return Layout(Size(max(scaled.width, output.width), max(scaled.height, output.height)), output)


def is_rgb(video: VideoStream) -> bool:
    return video.pixel_format.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal8", "0", "x2"))


def _tell_colours(video: VideoStream) -> list[str]:
    """Say what is only guessed, or each player guesses anew, by the size that it gets."""
    if video.color_space is not None or is_rgb(video):
        return []
    is_large = min(video.width, video.height) >= HD_HEIGHT
    matrix = "bt2020nc" if video.is_hdr else "bt709" if is_large else "smpte170m"
    return [f"setparams=colorspace={matrix}"]


def _weave(video: VideoStream) -> list[str]:
    return ["bwdif=mode=send_frame:deint=interlaced"] if video.is_interlaced else []


def _set_rate(frames: Frames) -> list[str]:
    return [] if frames.frame_rate is None else [f"fps={frames.frame_rate:.6g}"]


def _flatten(video: VideoStream, frames: Frames) -> list[str]:
    """Onto black; else what lies below transparent pixels, often rubbish, would be seen."""
    if not video.alpha or frames.has_alpha:
        return []
    return ["format=gbrap", "premultiply=inplace=1", "format=gbrp"]


def _scale(video: VideoStream, frames: Frames) -> list[str]:
    size = frames.layout.scaled
    range_ = "pc" if frames.is_rgb and not _is_mapped(video, frames) else "tv"
    options = f"scale={size.width}:{size.height}:out_range={range_}"
    makes_yuv = (is_rgb(video) or video.alpha) and not frames.is_rgb
    if frames.is_bt709:
        told = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
        return [options + ":out_color_matrix=bt709", told] if not video.is_hdr else [options]
    return [options + ":out_color_matrix=bt709" if makes_yuv else options]


def _is_mapped(video: VideoStream, frames: Frames) -> bool:
    return video.is_hdr and not frames.keeps_hdr


def _tone_map(video: VideoStream, frames: Frames) -> list[str]:
    """Into what a common screen shows, in linear light, whose white HDR has at 203 nits.

    Below, light stays as it is; what is brighter is squeezed into the little that is left.
    """
    if not _is_mapped(video, frames):
        return []
    matrix = video.color_space or "bt2020nc"
    primaries = video.color_primaries or "bt2020"
    told = f"tin={video.color_transfer}:min={matrix}:pin={primaries}:rin=tv"
    return [
        f"zscale={told}:t=linear:npl=203",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=tonemap=mobius:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


def _cut(layout: Layout) -> list[str]:
    if layout.scaled == layout.output:
        return []
    return [f"crop={layout.output.width}:{layout.output.height}"]


def _pad(frames: Frames) -> list[str]:
    if frames.pad is None or frames.pad == frames.layout.output:
        return []
    return [f"pad={frames.pad.width}:{frames.pad.height}:-1:-1:color=black"]
