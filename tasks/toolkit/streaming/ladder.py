"""Chooses the renditions of an adaptive stream: their names, sizes and bitrates."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tasks.toolkit.geometry import Box, Size, lay_out
from tasks.toolkit.video.encoders import Kilobits

Name = Literal["240p", "360p", "480p", "720p", "1080p", "1440p", "2160p"]

Lines = Annotated[int, Meta(ge=16, le=4320, description="a whole number of pixels from 16 to 4320")]


class Rendition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`lines` is the shorter side in pixels, `video_bitrate` the most that it may take, in kbit/s;
    the name is that of its lines unless given, such as `720p`.
    """

    lines: Lines
    video_bitrate: Kilobits
    audio_bitrate: Kilobits = 128
    name: (
        Annotated[
            str,
            Meta(
                pattern=r"\A[A-Za-z0-9_-]{1,64}\Z",
                description="a name of 1 to 64 letters, digits, - and _",
            ),
        ]
        | None
    ) = None


_NAMED: dict[str, Rendition] = {
    f"{lines}p": Rendition(lines=lines, video_bitrate=video, audio_bitrate=audio)
    for lines, video, audio in (
        (240, 400, 64),
        (360, 800, 96),
        (480, 1400, 128),
        (720, 2800, 128),
        (1080, 5000, 192),
        (1440, 9000, 192),
        (2160, 16000, 192),
    )
}
USUAL: tuple[Name, ...] = ("360p", "480p", "720p", "1080p")
LEAST_BITRATE = 64


def choose(source: Size, wanted: Sequence[Name | Rendition], *, enlarges: bool) -> list[Rendition]:
    """The renditions that were asked for, small ones first, none larger than the source.

    Where all would be, one of the source's own size.
    """
    lines = min(source.width, source.height)
    asked = [_NAMED[one] if isinstance(one, str) else one for one in wanted]
    fitting = [one for one in asked if enlarges or one.lines <= lines]
    return sorted(fitting or [_own(lines)], key=lambda one: (one.lines, one.video_bitrate))


def title(rendition: Name | Rendition) -> str:
    """What it is called."""
    if isinstance(rendition, str):
        return rendition
    return rendition.name or f"{rendition.lines}p"


def size_of(source: Size, rendition: Rendition) -> Size:
    """With even sides, as H.264 halves the colour, and the source's shape."""
    is_wide = source.width >= source.height
    box = Box(height=rendition.lines) if is_wide else Box(width=rendition.lines)
    return lay_out(source, box).output.even()


def _own(lines: int) -> Rendition:
    """Of the next larger's bitrate what falls to so many lines."""
    larger = next((one for one in _NAMED.values() if one.lines >= lines), _NAMED["2160p"])
    bitrate = round(larger.video_bitrate * (lines / larger.lines) ** 2)
    return Rendition(
        lines=max(16, lines),
        video_bitrate=max(LEAST_BITRATE, bitrate),
        audio_bitrate=larger.audio_bitrate,
    )
