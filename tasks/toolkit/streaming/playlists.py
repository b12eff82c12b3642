"""Reads what ffmpeg made for HLS, and writes playlists."""

import os
import re
from collections.abc import Sequence
from math import ceil
from typing import Annotated, BinaryIO, Literal

from msgspec import Meta, Struct

from dragon.task import Descriptor, TaskFailed

Packing = Literal["cmaf", "ts"]
SegmentSeconds = Annotated[
    int, Meta(ge=1, le=20, description="a whole number of seconds from 1 to 20")
]

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPES: dict[Packing, str] = {"cmaf": "video/mp4", "ts": "video/mp2t"}

_MAX_PLAYLIST_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
_HEAD_BYTES = 256 * 1024
"""Within these the encoder tells what it made."""

_SEGMENT = re.compile(r"#EXTINF:([0-9.]+),[^\n]*\n#EXT-X-BYTERANGE:([0-9]+)@([0-9]+)\n")
_MAP = re.compile(r'#EXT-X-MAP:[^\n]*BYTERANGE="([0-9]+)@0"')
_AVC_CONFIGURATION = re.compile(rb"avcC\x01(...)", re.DOTALL)
_AVC_PARAMETERS = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67](...)", re.DOTALL)


class Part(Struct, frozen=True):
    """Some bytes of the file that holds all segments."""

    size: int
    start: int


class Segment(Struct, frozen=True):
    """So many seconds of the stream."""

    seconds: float
    part: Part


class Stream(Struct, frozen=True, kw_only=True):
    """One rendition as it was made; bits a second at the most, of any segment, and on average.

    `head_size` are the bytes before the segments, which a player needs for each of them.
    """

    segments: tuple[Segment, ...]
    head_size: int
    video_codec: str

    @property
    def seconds(self) -> float:
        return sum(segment.seconds for segment in self.segments)

    @property
    def bandwidth(self) -> int:
        return ceil(max(one.part.size * 8 / one.seconds for one in self.segments))

    @property
    def average_bandwidth(self) -> int:
        return ceil(sum(one.part.size for one in self.segments) * 8 / self.seconds)


class Variant(Struct, frozen=True, kw_only=True):
    """A rendition as the master playlist tells it; `uri` is relative to that."""

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: str
    width: int
    height: int
    frame_rate: float | None


def finish(
    names: Sequence[str], playlist: Descriptor, media: Descriptor, init: Descriptor | None = None
) -> Stream:
    """Runs in a decoder child: write the playlist anew, of what ffmpeg wrote and made.

    Moves what comes before the segments into `init`: ffmpeg 9 stops after the first segment of
    a file that does not begin with it. `names` are those of the media file and of that one.
    Raises TaskFailed if this is no stream.
    """
    with open(playlist, "r+b", closefd=False) as file, open(media, "r+b", closefd=False) as made:
        text = file.read(_MAX_PLAYLIST_BYTES).decode("ascii", "replace")
        stream = read_stream(text, made.read(_HEAD_BYTES))
        if init is not None:
            _move_head(made, init, stream.head_size)
        file.seek(0)
        file.truncate()
        file.write(media_playlist(stream, *names).encode())
    return stream


def _move_head(made: BinaryIO, init: Descriptor, size: int) -> None:
    made.seek(0)
    os.write(init, made.read(size))
    position = size
    while chunk := made.read(_CHUNK_BYTES):
        made.seek(position - size)
        made.write(chunk)
        position += len(chunk)
        made.seek(position)
    made.truncate(position - size)


def read_stream(text: str, head: bytes) -> Stream:
    """Of a playlist of byte ranges, and the beginning of the file that these are of."""
    beginning = _MAP.search(text)
    head_size = int(beginning[1]) if beginning else 0
    segments = tuple(
        Segment(float(seconds), Part(int(size), int(start) - head_size))
        for seconds, size, start in _SEGMENT.findall(text)
        if float(seconds) > 0
    )
    configuration = (_AVC_CONFIGURATION if beginning else _AVC_PARAMETERS).search(head)
    if not segments or not configuration:
        raise TaskFailed("the source has no picture that could be streamed")
    return Stream(
        segments=segments,
        head_size=head_size,
        video_codec=f"avc1.{configuration[1].hex()}",
    )


def media_playlist(stream: Stream, media_name: str, init_name: str = "") -> str:
    """One rendition, whole: all its segments are parts of one file beside the playlist."""
    longest = max(segment.seconds for segment in stream.segments)
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_version(stream)}",
        f"#EXT-X-TARGETDURATION:{max(1, round(longest))}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    if init_name:
        lines.append(f'#EXT-X-MAP:URI="{init_name}"')
    for segment in stream.segments:
        part = segment.part
        lines += [
            f"#EXTINF:{segment.seconds:.6f},",
            f"#EXT-X-BYTERANGE:{part.size}@{part.start}",
            media_name,
        ]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def master_playlist(variants: Sequence[Variant], packing: Packing) -> str:
    """All renditions; a player begins with the first and takes what its line carries."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{7 if packing == 'cmaf' else 4}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    for one in variants:
        rate = f",FRAME-RATE={one.frame_rate:.3f}" if one.frame_rate else ""
        lines += [
            f"#EXT-X-STREAM-INF:BANDWIDTH={one.bandwidth}"
            f",AVERAGE-BANDWIDTH={one.average_bandwidth}"
            f',CODECS="{one.codecs}",RESOLUTION={one.width}x{one.height}{rate}',
            one.uri,
        ]
    return "\n".join([*lines, ""])


def _version(stream: Stream) -> int:
    return 7 if stream.head_size else 4
