"""Builds ffmpeg's arguments for codecs and containers that videos are made with."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

VideoCodec = Literal["h264", "hevc", "vp9", "av1"]
AudioCodec = Literal["mp2", "mp3", "aac", "wmav1", "wmav2", "opus", "vorbis"]
Kilobits = Annotated[
    int, Meta(ge=8, le=100_000, description="kbit/s, a whole number from 8 to 100000")
]

_HIGHEST_CRF = {"h264": 51, "hevc": 51, "vp9": 63, "av1": 63}
_VIDEO_OPTIONS: dict[VideoCodec, tuple[str, ...]] = {
    "h264": ("-c:v", "libx264", "-preset", "medium"),
    "hevc": ("-c:v", "libx265", "-preset", "fast", "-tag:v", "hvc1"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "4", "-row-mt", "1"),
    "av1": ("-c:v", "libsvtav1", "-preset", "8"),
}
_AV1_IN_PASSES = ("-c:v", "libaom-av1", "-cpu-used", "6", "-row-mt", "1")
"""SVT-AV1 takes no notes here, misses bitrates by far, and refuses them for small pictures."""

_AUDIO_ENCODERS: dict[AudioCodec, str] = {
    "mp2": "mp2",
    "mp3": "libmp3lame",
    "aac": "aac",
    "wmav1": "wmav1",
    "wmav2": "wmav2",
    "opus": "libopus",
    "vorbis": "libvorbis",
}
_OPUS_RATE = 48_000


class Rate(Struct, frozen=True, kw_only=True):
    """How much a second of video may take: of the quality `crf`, in kbit/s at most `bitrate`.

    With `crf` None that much on average. `gop` is the most frames from key frame to key frame.
    """

    bitrate: int
    crf: int | None
    gop: int


def video_encoder(codec: VideoCodec, rate: Rate, *, step: Literal[1, 2] | None = None) -> list[str]:
    """Arguments for the video of one output; `step` is the first or second of two passes.

    The notes of the first pass lie in the run's directory, where ffmpeg works.
    """
    options = _AV1_IN_PASSES if codec == "av1" and step else _VIDEO_OPTIONS[codec]
    common = [*options, "-g", str(rate.gop)]
    if codec == "hevc":
        return [*common, *_rate_control(codec, rate), "-x265-params", _x265_options(step)]
    passes = ["-pass", str(step), "-passlogfile", "pass"] if step else []
    return [*common, *_rate_control(codec, rate), *passes]


def audio_encoder(codec: AudioCodec, bitrate: int, sample_rate: int, channels: int) -> list[str]:
    """Arguments for the sound of one output: kbit/s, hertz; never more than stereo.

    Gaps between the times of the source become silence, as players pass over them.
    """
    channels = min(channels, 2)
    rate = _OPUS_RATE if codec == "opus" else sample_rate
    lowest, highest = bitrate_range(codec, rate, channels)
    return [
        *("-c:a", _AUDIO_ENCODERS[codec]),
        *("-b:a", f"{min(max(bitrate, lowest), highest)}k"),
        *("-ar", str(rate)),
        *("-ac", str(channels)),
        *("-af", "aresample=async=1:first_pts=0"),
    ]


def _rate_control(codec: VideoCodec, rate: Rate) -> list[str]:
    bits = f"{rate.bitrate}k"
    buffer = f"{rate.bitrate * 2}k"
    if rate.crf is None:
        return ["-b:v", bits, "-maxrate", f"{rate.bitrate * 3 // 2}k", "-bufsize", buffer]
    crf = str(round(rate.crf * _HIGHEST_CRF[codec] / 51))
    if codec == "vp9":
        return ["-crf", crf, "-b:v", bits]
    return ["-crf", crf, "-maxrate", bits, "-bufsize", buffer]


def _x265_options(step: Literal[1, 2] | None) -> str:
    return "log-level=error" + (f":pass={step}:stats=pass" if step else "")


def bitrate_range(codec: str, rate: int, channels: int) -> tuple[int, int]:
    """The least and most that an encoder bears: beyond these some fail instead of doing it."""
    is_low = rate < 32_000
    match codec:
        case "opus":
            return 6, 256 * channels
        case "vorbis":
            lowest, highest = (16, 64) if is_low else (32, 160)
            if rate < 16_000:
                lowest, highest = 12, 40
            return lowest * channels, highest * channels
        case "mp2":
            return (8, 160) if is_low else (32, 384)
        case "mp3":
            return (8, 160) if is_low else (32, 320)
        case "wmav1" | "wmav2":
            return 32, 512
    return 8, 512
