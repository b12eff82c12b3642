"""Tells which streams of a video are already what was asked for, so that they can be copied."""

from tasks.toolkit.media.media import AudioStream
from tasks.toolkit.video.clips import Clip
from tasks.toolkit.video.encoders import Rate
from tasks.toolkit.video.filters import Frames
from tasks.toolkit.video.targets import Codecs, Target

_TOLERANCE = 1.1
"""Encoders miss the bitrate that they were told by about as much."""
_EIGHT_BITS = ("yuv420p", "yuvj420p")


def copies_video(clip: Clip, frames: Frames, codecs: Codecs, target: Target, rate: Rate) -> bool:
    """Whether all that would be changed is already so; a piece cut out never fits to the frame."""
    video = clip.video
    return (
        clip.is_whole
        and video.codec == codecs.video
        and frames.frame_rate is None
        and frames.layout.output == video.display
        and video.sample_aspect_ratio.numerator == video.sample_aspect_ratio.denominator
        and (video.orientation == 1 or target.format == "mp4")
        and not video.is_interlaced
        and video.pixel_format in (*_EIGHT_BITS, frames.pixel_format)
        and _takes_at_most(clip.bit_rate, rate.bitrate)
    )


def copies_audio(clip: Clip, audio: AudioStream, codecs: Codecs, bitrate: int, rate: int) -> bool:
    """The same for the sound; `bitrate` in kbit/s, `rate` in hertz."""
    return (
        clip.is_whole
        and audio.codec == codecs.audio
        and audio.channels <= 2
        and audio.sample_rate in (rate, 48_000 if codecs.audio == "opus" else rate)
        and _takes_at_most(audio.bit_rate, bitrate)
    )


def _takes_at_most(bit_rate: int | None, kilobits: int) -> bool:
    return bit_rate is None or bit_rate <= kilobits * 1000 * _TOLERANCE
