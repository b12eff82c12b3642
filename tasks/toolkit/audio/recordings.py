"""What a recording is: the sound of a file, how fine it is, its tags and its cover."""

import re
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from dragon.task import Descriptor, MediaLimits
from tasks.toolkit.media.media import AudioStream, Media

if TYPE_CHECKING:
    from tasks.toolkit.media.demux import Opened

TAGS = (
    *("title", "artist", "album", "album_artist", "composer", "track", "disc", "date", "genre"),
    *("comment", "copyright"),
)
"""FFmpeg's names of what listeners want to know; much else in files is about their makers."""
MAX_TAG_LENGTH = 500
MAX_BIT_RATE = 1_000_000_000
OPUS_RATE = 48_000
LOOK_AHEAD_PACKETS = 100
"""Some decoders need several before they make a sound."""
COVER_CODECS = ("mjpeg", "png")

_PCM_BITS = re.compile(r"pcm_[suf](\d+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Recording(Struct, frozen=True, kw_only=True):
    """The best sound of a file; `duration` is in seconds, `bit_rate` in bits a second.

    `bit_depth` is None of a codec that loses something. `cover` is the index of the stream that
    is a picture of the album. `media` tells how to read the file.
    """

    media: Media
    audio: AudioStream
    duration: float | None
    bit_rate: int | None
    bit_depth: int | None
    tags: dict[str, str]
    cover: int | None


def read(url: str, source: Descriptor, limits: MediaLimits) -> Recording:
    """Runs in a decoder child; `url` is for messages only. One frame is decoded.

    Raises TaskFailed if there is no sound that can be read, or more than a limit allows.
    """
    from tasks.toolkit.media import demux

    with demux.open_media(url, source, limits, "audio") as opened:
        return recording_of(opened, limits)


def recording_of(opened: "Opened", limits: MediaLimits) -> Recording:
    """Raises TaskFailed as `read`."""
    from tasks.toolkit.media import demux, streams

    assert opened.audio is not None  # noqa: S101 - it was wanted
    packets = islice(opened.input.demux(opened.audio), LOOK_AHEAD_PACKETS)
    if not any(demux.decoded_audio(packet) for packet in packets):
        raise demux.not_valid(opened.url, "audio")
    media = streams.media_of(opened, limits)
    assert media.audio is not None  # noqa: S101
    duration = _duration(media, opened.audio.codec_context.extradata)
    return Recording(
        media=media,
        audio=media.audio,
        duration=duration,
        bit_rate=_bit_rate(media, duration),
        bit_depth=_bit_depth(media.audio.codec, opened.audio.codec_context.extradata),
        tags=_tags({**opened.input.metadata, **opened.audio.metadata}),
        cover=demux.cover_of(opened.input, COVER_CODECS),
    )


def hundredths(seconds: float | None) -> float | None:
    """The duration of a sound as clients see it."""
    return None if seconds is None else round(seconds, 2)


def _duration(media: Media, header: bytes | None) -> float | None:
    """That of the sound; beside a video it may be shorter than the file.

    In Ogg, Opus counts the first samples, too, which are only there to warm up decoders.
    """
    told = media.audio.duration if media.audio else None
    if told and not media.content_type.startswith("audio/"):
        return told
    if media.duration and media.demuxer == "ogg" and header and header[:8] == b"OpusHead":
        return max(0.0, media.duration - int.from_bytes(header[10:12], "little") / OPUS_RATE)
    return media.duration


def _bit_rate(media: Media, duration: float | None) -> int | None:
    """What a header tells, else what a file takes that has nothing but sound in it.

    Some encoders of Vorbis write a negative number, which FFmpeg takes for a huge one.
    """
    told = media.audio.bit_rate if media.audio else None
    if told and told < MAX_BIT_RATE:
        return told
    return round(media.size * 8 / duration) if duration and media.streams == 1 else None


def _bit_depth(codec: str, header: bytes | None) -> int | None:
    """Of FLAC and ALAC it stands at a fixed place in the header of the stream."""
    if found := _PCM_BITS.match(codec):
        return int(found[1])
    if codec == "flac" and header and len(header) >= 34:
        return ((header[12] & 1) << 4 | header[13] >> 4) + 1
    if codec == "alac" and header and len(header) >= 36:
        return header[17]
    return None


def _tags(found: dict[str, str]) -> dict[str, str]:
    """The known ones, in a fixed order, as single lines."""
    lowered = {name.lower(): _CONTROL.sub(" ", value).strip() for name, value in found.items()}
    return {name: lowered[name][:MAX_TAG_LENGTH] for name in TAGS if lowered.get(name)}
