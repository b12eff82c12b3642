"""Reads what an opened media file tells of itself; in decoder children, as it loads FFmpeg."""

import re
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

from av.audio.stream import AudioStream as AvAudio
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream as AvVideo
from msgspec import Struct

from dragon.task import MediaLimits, TaskFailed
from tasks.toolkit.geometry import Size, check_video
from tasks.toolkit.media import color_codes
from tasks.toolkit.media.demux import Opened, decoded, not_valid, packets_of, tells_alpha
from tasks.toolkit.media.media import AudioStream, Media, Ratio, VideoStream
from tasks.toolkit.pictures.exif import rotation_of

LOOK_AHEAD_PACKETS = 100
"""Enough packets of a video to see its first frame, and whether frames come at equal steps."""
NEAR_SECONDS = 0.05
"""An estimate as near as this to what was counted knows better of what an encoder padded."""
NEAR_RATE = 0.02
"""As a share of it."""

_LAYOUTS = {1: "mono", 2: "stereo"}
"""Also where a file tells the number of its channels only."""
_MICROSECONDS = 1_000_000
_TOLD_DURATION = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
_SECONDS_OF = (3600.0, 60.0, 1.0)
_ORIENTATIONS = {
    (True, 1, 1): 1,
    (True, -1, 1): 2,
    (True, -1, -1): 3,
    (True, 1, -1): 4,
    (False, 1, 1): 5,
    (False, 1, -1): 6,
    (False, -1, -1): 7,
    (False, -1, 1): 8,
}
"""By whether rows stay rows, and the signs of the matrix's two numbers that are not small."""


class _Beginning(Struct, frozen=True):
    """The first frame of a video, and the times of the first packets in its time base."""

    frame: VideoFrame
    times: list[int]


def media_of(opened: Opened, limits: MediaLimits) -> Media:
    """All that is known of the file. Raises TaskFailed if it is broken or over a limit."""
    video = _video_of(opened, opened.video) if opened.video and opened.wanted != "audio" else None
    container = opened.container
    media = Media(
        demuxer=container.demuxer,
        content_type=container.video_type if opened.video else container.audio_type,
        duration=duration_of(opened),
        size=opened.input.size,
        streams=len(opened.input.streams),
        video=video,
        audio=_audio_of(opened.audio) if opened.audio else None,
    )
    _check_duration(opened.url, media, limits)
    return media


def duration_of(opened: Opened) -> float | None:
    """Seconds; None if no packet tells its time."""
    told = max(0, opened.input.duration or 0) / _MICROSECONDS
    if told and opened.container.tells_duration:
        return told
    counted = _counted_duration(opened.input)
    is_good = told and counted and abs(told - counted) < NEAR_SECONDS
    return told if is_good else counted


def orientation_of(frame: VideoFrame) -> int:
    """The EXIF orientation, 1 to 8, that the display matrix of a frame amounts to."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1
    a, b, _, c, d = memoryview(data).cast("i")[:5]
    keeps_rows = abs(a) >= abs(b)
    one, other = (a, d) if keeps_rows else (b, c)
    return _ORIENTATIONS[keeps_rows, -1 if one < 0 else 1, -1 if other < 0 else 1]


def aspect_of(stream: AvVideo) -> Fraction:
    """How wide a pixel of the stream is, if it is 1 high."""
    return stream.sample_aspect_ratio or Fraction(1)


def display_size(stored: Size, aspect: Fraction, orientation: int) -> Size:
    """The size as seen: the pixels made square by widening or narrowing, then turned."""
    width = max(1, round(stored.width * aspect))
    return Size(width, stored.height).turned(90 * (orientation >= 5))


def _video_of(opened: Opened, stream: AvVideo) -> VideoStream:
    beginning = _look_ahead(opened, stream)
    frame, context = beginning.frame, stream.codec_context
    orientation = orientation_of(frame)
    aspect = aspect_of(stream)
    return VideoStream(
        index=stream.index,
        codec=context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        display=display_size(Size(frame.width, frame.height), aspect, orientation),
        orientation=orientation,
        rotation=rotation_of(orientation),
        sample_aspect_ratio=Ratio(aspect.numerator, aspect.denominator),
        frame_rate=_rate_of(stream),
        is_variable=_is_variable(beginning.times),
        pixel_format=frame.format.name,
        bit_depth=max(component.bits for component in frame.format.components),
        alpha=_has_alpha(stream, frame),
        is_interlaced=frame.interlaced_frame,
        color_range=color_codes.RANGES.get(frame.color_range),
        color_space=color_codes.SPACES.get(frame.colorspace),
        color_transfer=color_codes.TRANSFERS.get(frame.color_trc),
        color_primaries=color_codes.PRIMARIES.get(frame.color_primaries),
        frames=stream.frames or None,
        bit_rate=stream.bit_rate or None,
        duration=_seconds(stream),
    )


def _audio_of(stream: AvAudio) -> AudioStream:
    return AudioStream(
        index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        sample_rate=stream.rate,
        channels=stream.codec_context.channels,
        layout=_LAYOUTS.get(stream.codec_context.channels, stream.layout.name),
        bit_rate=stream.bit_rate or None,
        duration=_seconds(stream),
    )


def _look_ahead(opened: Opened, stream: AvVideo) -> _Beginning:
    """Raises TaskFailed if no frame can be decoded."""
    first: VideoFrame | None = None
    times: list[int] = []
    for packet in islice(packets_of(opened.input, stream), LOOK_AHEAD_PACKETS):
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            times.append(time)
        if first is None:
            first = next(iter(decoded(opened, packet)), None)
    if first is None:
        raise not_valid(opened.url, opened.wanted)
    return _Beginning(first, sorted(times))


def _is_variable(times: list[int]) -> bool:
    """Whether one step in twenty is far from the usual one.

    A clock's rounding, a camera's jitter and a join of fragments are none of that.
    """
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    usual = steps[len(steps) // 2] if steps else 0
    return sum(abs(step - usual) > max(2, usual / 10) for step in steps) > len(steps) / 20


def _has_alpha(stream: AvVideo, frame: VideoFrame) -> bool:
    return tells_alpha(stream) or any(part.is_alpha for part in frame.format.components)


def _seconds(stream: Stream) -> float | None:
    if stream.duration is None or stream.time_base is None:
        # Matroska has it among the words about a stream, where it has it at all.
        told = _TOLD_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
        return sum(map(float.__mul__, map(float, told.groups()), _SECONDS_OF)) if told else None
    return float(stream.duration * stream.time_base)


def _rate_of(stream: AvVideo) -> Ratio | None:
    """The average, which the last frame's odd duration puts off a little, or what is near it."""
    average, base = stream.average_rate, stream.base_rate
    is_near = average and base and abs(base / average - 1) < NEAR_RATE
    rate = base if is_near else average or base
    return Ratio(rate.numerator, rate.denominator) if rate else None


def _counted_duration(input: InputContainer) -> float | None:
    """From the start of the file to the end of its last packet; nothing is decoded."""
    input.seek(input.start_time or 0)
    ends: dict[int, int] = {}
    for packet in packets_of(input, *input.streams):
        if packet.pts is not None:
            end = packet.pts + (packet.duration or 0)
            ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
    seconds = [end * (input.streams[index].time_base or 0) for index, end in ends.items()]
    start = (input.start_time or 0) / _MICROSECONDS
    return max(0.0, float(max(seconds)) - start) if seconds else None


def _check_duration(url: str, media: Media, limits: MediaLimits) -> None:
    """Refuse, before more is decoded than a frame, what would unfold to too much."""
    if media.duration is not None and media.duration > limits.max_duration_seconds:
        raise TaskFailed(
            f"File '{url}' lasts {media.duration:.0f} seconds, "
            f"more than the limit of {limits.max_duration_seconds} (max_duration_seconds)"
        )
    if media.video is not None:
        size = Size(media.video.width, media.video.height)
        check_video(f"File '{url}'", size, _frames_of(media, media.video), limits)


def _frames_of(media: Media, video: VideoStream) -> int:
    rate = float(video.frame_rate) if video.frame_rate else 0.0
    return max(video.frames or 0, round((media.duration or 0.0) * rate))
