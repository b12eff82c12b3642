"""Which container, codecs and pixels a video is made with, by what was asked for."""

from typing import Literal

from msgspec import Struct

from dragon.task import TaskFailed
from tasks.toolkit.media.media import VideoStream
from tasks.toolkit.video.encoders import AudioCodec, VideoCodec

VideoFormat = Literal["mp4", "webm", "mkv", "gif", "webp"]


class Target(Struct, frozen=True, kw_only=True):
    """A container with what goes into it; `muxer` is FFmpeg's name. A gif or webp has no codecs."""

    format: VideoFormat
    muxer: str
    content_type: str
    videos: tuple[VideoCodec, ...] = ()
    audios: tuple[AudioCodec, ...] = ()

    @property
    def is_animation(self) -> bool:
        return not self.videos


class Codecs(Struct, frozen=True):
    """What the two streams of a video are made with."""

    video: VideoCodec
    audio: AudioCodec


_MP4 = Target(
    format="mp4",
    muxer="mp4",
    content_type="video/mp4",
    videos=("h264", "hevc", "av1", "vp9"),
    # Not mp2, which MP4 does not tell from mp3.
    audios=("aac", "mp3", "opus"),
)
_WEBM = Target(
    format="webm",
    muxer="webm",
    content_type="video/webm",
    videos=("vp9", "av1"),
    audios=("opus", "vorbis"),
)
_MKV = Target(
    format="mkv",
    muxer="matroska",
    content_type="video/x-matroska",
    videos=("h264", "hevc", "av1", "vp9"),
    audios=("aac", "mp3", "mp2", "opus", "vorbis", "wmav1", "wmav2"),
)
_GIF = Target(format="gif", muxer="gif", content_type="image/gif")
_WEBP = Target(format="webp", muxer="webp", content_type="image/webp")
_BY_FORMAT = {target.format: target for target in (_MP4, _WEBM, _MKV, _GIF, _WEBP)}


def choose_target(format: VideoFormat | None, video: VideoCodec, audio: AudioCodec) -> Target:
    """The container that was asked for, else the one that these codecs are at home in."""
    if format is not None:
        return _BY_FORMAT[format]
    if video == "vp9":
        return _WEBM
    return _MP4 if audio in _MP4.audios else _MKV


def choose_codecs(target: Target, video: VideoCodec, audio: AudioCodec) -> Codecs:
    """The codecs that were asked for; h264 and aac, the defaults, give way where they must.

    Raises TaskFailed for what the container cannot hold.
    """
    if video == "h264" and video not in target.videos:
        video = target.videos[0]
    if audio == "aac" and audio not in target.audios:
        audio = target.audios[0]
    _check(target, "video_codec", video, target.videos)
    _check(target, "audio_codec", audio, target.audios)
    return Codecs(video, audio)


def pixel_format(video: VideoStream, codec: VideoCodec, target: Target) -> str:
    """FFmpeg's name of what the encoder gets: 8 bits, more only where players show them.

    H.264 of 10 bits is played by few; VP9 alone keeps alpha, in WebM.
    """
    if video.alpha and codec == "vp9" and target.format == "webm":
        return "yuva420p"
    return "yuv420p10le" if video.bit_depth > 8 and codec != "h264" else "yuv420p"


def _check(target: Target, name: str, codec: str, known: tuple[str, ...]) -> None:
    if codec not in known:
        raise TaskFailed(
            f"{name} {codec} does not go into {target.format}, which holds {', '.join(known)}"
        )
