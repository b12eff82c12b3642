"""The kinds of sound files that are made: what each holds, and ffmpeg's arguments for it."""

from typing import Literal

from msgspec import Struct

from dragon.task import TaskFailed
from tasks.toolkit.audio.recordings import Recording
from tasks.toolkit.video import encoders

Codec = Literal["mp3", "vorbis", "aac", "opus", "flac", "wav"]

_USUAL_RATE = 44_100
_LOW_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
"""By the number of channels: those that each of these codecs has an order for."""


class Kind(Struct, frozen=True, kw_only=True):
    """A codec in its container; `muxer` is FFmpeg's name.

    `rates` are the sample rates that it is made with, None if any. `kilobits` are those that a
    channel takes in a second where nobody says how many, None of a codec that loses nothing.
    `has_cover` tells whether the container holds a picture.
    """

    codec: Codec
    encoder: str
    muxer: str
    content_type: str
    options: tuple[str, ...] = ()
    rates: tuple[int, ...] | None = None
    max_channels: int = len(_LAYOUTS)
    kilobits: int | None = None
    has_cover: bool = False


_KINDS = (
    Kind(
        codec="mp3",
        encoder="libmp3lame",
        muxer="mp3",
        content_type="audio/mpeg",
        options=("-id3v2_version", "3"),  # which all players know
        rates=_LOW_RATES,
        max_channels=2,
        kilobits=96,
        has_cover=True,
    ),
    Kind(
        codec="vorbis",
        encoder="libvorbis",
        muxer="ogg",
        content_type="audio/ogg",
        rates=_LOW_RATES,
        kilobits=80,
    ),
    Kind(
        codec="aac",
        encoder="aac",
        muxer="ipod",
        content_type="audio/mp4",
        options=("-movflags", "+faststart"),
        rates=_LOW_RATES,
        kilobits=80,
        has_cover=True,
    ),
    Kind(
        codec="opus",
        encoder="libopus",
        muxer="opus",
        content_type="audio/ogg; codecs=opus",
        rates=(48_000,),
        kilobits=64,
    ),
    Kind(
        codec="flac",
        encoder="flac",
        muxer="flac",
        content_type="audio/flac",
        has_cover=True,
    ),
    Kind(
        codec="wav",
        encoder="pcm_s16le",
        muxer="wav",
        content_type="audio/wav",
        options=("-rf64", "auto"),  # else 4 GiB are its end
    ),
)
KINDS = {kind.codec: kind for kind in _KINDS}


class Sound(Struct, frozen=True, kw_only=True):
    """What a recording is made into; `kilobits` a second None of a codec that loses nothing.

    `is_fine`: of more than 16 bits.
    """

    kind: Kind
    sample_rate: int
    channels: int
    kilobits: int | None
    is_fine: bool


def choose_sound(
    kind: Kind, recording: Recording, rate: int | None, channels: int | None, kilobits: int | None
) -> Sound:
    """What was asked for, else what the source has, as near as the codec comes to it.

    Raises TaskFailed for what the codec cannot hold.
    """
    if rate is not None and kind.rates and rate not in kind.rates:
        known = ", ".join(map(str, kind.rates))
        raise TaskFailed(f"sample_rate {rate} does not go into {kind.codec}, which holds {known}")
    if channels is not None and channels > kind.max_channels:
        raise TaskFailed(
            f"{channels} channels do not go into {kind.codec}, which holds {kind.max_channels}"
        )
    rate = rate or _nearest_rate(kind, recording.audio.sample_rate)
    channels = channels or _fewer(recording.audio.channels, kind.max_channels)
    return Sound(
        kind=kind,
        sample_rate=rate,
        channels=channels,
        kilobits=_kilobits(kind, rate, channels, kilobits),
        is_fine=(recording.bit_depth or 0) > 16,
    )


def is_already(recording: Recording, sound: Sound, kilobits: int | None) -> bool:
    """Whether the recording is in that codec, at that rate, and takes no more than asked for."""
    audio, kind = recording.audio, sound.kind
    if kind.codec == "wav":
        is_codec = audio.codec.startswith("pcm_") and recording.media.demuxer == "wav"
    else:
        is_codec = audio.codec == kind.codec
    is_within = kilobits is None or (recording.bit_rate or 0) <= kilobits * 1000
    is_shape = (audio.sample_rate, audio.channels) == (sound.sample_rate, sound.channels)
    return is_codec and is_within and is_shape


def shaping(recording: Recording, sound: Sound) -> str:
    """The filters that give the recording its channels; gaps in its times become silence."""
    filters = "aresample=async=1:first_pts=0"
    channels = recording.audio.channels
    if (channels, sound.channels) == (1, 2):
        # FFmpeg would halve the power that comes out of each of them.
        return f"{filters},pan=stereo|c0=c0|c1=c0"
    if channels == sound.channels and sound.kilobits is None:
        return filters
    return f"{filters},aformat=channel_layouts={_LAYOUTS[sound.channels - 1]}"


def encoder(sound: Sound) -> list[str]:
    """Arguments for the codec."""
    arguments = ["-c:a", sound.kind.encoder, "-ar", str(sound.sample_rate)]
    if sound.kilobits is not None:
        return [*arguments, "-b:a", f"{sound.kilobits}k"]
    if sound.kind.codec == "wav":
        return [*arguments, *(["-c:a", "pcm_s24le"] if sound.is_fine else [])]
    depth = ("s32", "-bits_per_raw_sample", "24") if sound.is_fine else ("s16",)
    return [*arguments, "-sample_fmt", *depth]


def _nearest_rate(kind: Kind, rate: int) -> int:
    """The next higher, as nothing is lost then; of rates beyond all, the one that divides it."""
    if kind.rates is None or rate in kind.rates:
        return rate
    higher = [known for known in kind.rates if known >= rate]
    if higher:
        return higher[0]
    return _USUAL_RATE if rate % _USUAL_RATE == 0 and len(kind.rates) > 1 else kind.rates[-1]


def _fewer(channels: int, most: int) -> int:
    """More channels than there is a usual order for are mixed into two."""
    return channels if channels <= most else 2


def _kilobits(kind: Kind, rate: int, channels: int, asked: int | None) -> int | None:
    if kind.kilobits is None:
        return None
    usual = round(kind.kilobits * channels * min(1.0, rate / _USUAL_RATE))
    lowest, highest = encoders.bitrate_range(kind.codec, rate, channels)
    return min(max(asked or usual, lowest), highest)
