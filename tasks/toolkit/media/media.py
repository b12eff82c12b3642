"""What is told of a media file: its container, duration and streams."""

from typing import Literal

from msgspec import Struct

from tasks.toolkit.geometry import Size
from tasks.toolkit.media.color_codes import HDR_TRANSFERS

Wanted = Literal["media", "video", "audio"]
"""What a file must have in it to be worth reading."""


class Ratio(Struct, frozen=True):
    """An exact ratio of two whole numbers, such as 30000/1001 frames a second."""

    numerator: int
    denominator: int

    def __float__(self) -> float:
        return self.numerator / self.denominator

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


class VideoStream(Struct, frozen=True, kw_only=True):
    """The moving picture of a file; a cover of an album is none.

    `index` is the stream's number in the file. `width` and `height` are the pixels as stored,
    `display` is the size as seen: pixels made square, turned upright. `orientation` is that of
    EXIF, 1 to 8; `rotation` the degrees counter-clockwise that turn the stored picture upright,
    None where a flip is needed too. Colours have FFmpeg's names, None where the file is silent.
    `frames` and `bit_rate` (bits a second) are None where no header tells them; `duration` is in
    seconds.
    """

    index: int
    codec: str
    width: int
    height: int
    display: Size
    orientation: int
    rotation: float | None
    sample_aspect_ratio: Ratio
    frame_rate: Ratio | None
    is_variable: bool
    pixel_format: str
    bit_depth: int
    alpha: bool
    is_interlaced: bool
    color_range: str | None
    color_space: str | None
    color_transfer: str | None
    color_primaries: str | None
    frames: int | None
    bit_rate: int | None
    duration: float | None

    @property
    def is_hdr(self) -> bool:
        return self.color_transfer in HDR_TRANSFERS


class AudioStream(Struct, frozen=True, kw_only=True):
    """The sound of a file: hertz, FFmpeg's name of the layout, bits a second, seconds."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    bit_rate: int | None
    duration: float | None


class Media(Struct, frozen=True, kw_only=True):
    """A media file: `demuxer` is FFmpeg's name, `duration` in seconds, `size` in bytes."""

    demuxer: str
    content_type: str
    duration: float | None
    size: int
    streams: int
    video: VideoStream | None
    audio: AudioStream | None
