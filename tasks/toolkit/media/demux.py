"""Opens media files with PyAV, by one demuxer and with the decoders allowed; in decoder children.

Whoever may run in a worker process imports this inside a function: it loads FFmpeg.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from msgspec import Struct

from dragon.task import Descriptor, MediaLimits, TaskFailed
from tasks.toolkit.geometry import Size, check_limits
from tasks.toolkit.media.containers import ALPHA_DECODERS, DECODERS, Container, recognise
from tasks.toolkit.media.media import Wanted

_KINDS: dict[Wanted, str] = {"media": "audio or video", "video": "video", "audio": "audio"}


class Opened(Struct, frozen=True, kw_only=True):
    """A file whose headers were read; `video` and `audio` are its best streams, if any.

    `decoder` is that of the video, with its limits set.
    """

    url: str
    input: InputContainer
    container: Container
    video: VideoStream | None
    decoder: VideoCodecContext | None
    audio: AudioStream | None
    wanted: Wanted


@contextmanager
def open_media(
    url: str, source: Descriptor, limits: MediaLimits, wanted: Wanted = "media"
) -> Iterator[Opened]:
    """The media in an open file, within the block, in which what is broken ends as TaskFailed.

    Raises TaskFailed if there is nothing of what is wanted, or too many streams or pixels.
    """
    container = recognise(source)
    if container is None:
        raise not_valid(url, wanted)
    try:
        with _open(source, container, DECODERS, limits) as input:
            opened = _with_streams(url, input, container, limits, wanted)
            _check_header(opened, source, limits)
            yield opened
    except av.error.MemoryError:
        raise MemoryError from None
    except av.FFmpegError:
        raise not_valid(url, wanted) from None


def _open(
    source: Descriptor, container: Container, decoders: Sequence[str], limits: MediaLimits
) -> InputContainer:
    """FFmpeg reads the open file by its number: no name, and no other protocol, is known to it."""
    os.lseek(source, 0, os.SEEK_SET)
    return av.open(
        "fd:",
        "r",
        format=container.demuxer,
        metadata_errors="replace",
        container_options={"fd": str(source)},
        options={
            "protocol_whitelist": "fd",
            "format_whitelist": container.demuxer,
            "codec_whitelist": ",".join(decoders),
            "max_pixels": str(limits.max_pixels),
        },
    )


def _with_streams(
    url: str, input: InputContainer, container: Container, limits: MediaLimits, wanted: Wanted
) -> Opened:
    """Streams that no allowed decoder reads are passed over, unless they are what is wanted."""
    streams = {"video": _best_video(input), "audio": input.streams.best("audio")}
    readable = {kind: stream for kind, stream in streams.items() if _is_readable(stream)}
    if wanted != "media" and wanted not in readable:
        raise _lacking(url, wanted, streams[wanted])
    if not readable:
        raise not_valid(url, wanted)
    video, audio = readable.get("video"), readable.get("audio")
    return Opened(
        url=url,
        input=input,
        container=container,
        video=video if isinstance(video, VideoStream) else None,
        decoder=_decoder_of(video, limits) if isinstance(video, VideoStream) else None,
        audio=audio if isinstance(audio, AudioStream) else None,
        wanted=wanted,
    )


def _decoder_of(video: VideoStream, limits: MediaLimits) -> VideoCodecContext:
    """One that sees alpha where there is some, which FFmpeg's own of VP8 and VP9 do not."""
    decoder = video.codec_context
    if tells_alpha(video) and decoder.name in ALPHA_DECODERS:
        decoder = VideoCodecContext.create(ALPHA_DECODERS[decoder.name], "r")
        decoder.extradata = video.codec_context.extradata
    decoder.options = {"max_pixels": str(limits.max_pixels)}
    return decoder


def _best_video(input: InputContainer) -> Stream | None:
    """The cover of an album is a video stream to FFmpeg, and to nobody else."""
    best = input.streams.best("video")
    return None if best is None or best.disposition & Disposition.attached_pic else best


def _is_readable(stream: Stream | None) -> bool:
    """PyAV has no context for a stream whose codec FFmpeg does not know."""
    context = stream.codec_context if stream else None
    return context is not None and context.name in DECODERS


def _lacking(url: str, wanted: Wanted, stream: Stream | None) -> TaskFailed:
    if stream is None:
        return TaskFailed(f"File '{url}' has no {wanted} stream")
    name = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    return TaskFailed(f"The {wanted} stream of file '{url}' cannot be read (codec {name})")


def _check_header(opened: Opened, source: Descriptor, limits: MediaLimits) -> None:
    count = len(opened.input.streams)
    if count > limits.max_streams:
        raise TaskFailed(
            f"File '{opened.url}' has {count} streams, "
            f"more than the limit of {limits.max_streams} (max_streams)"
        )
    if opened.video is not None:
        size = Size(opened.video.width, opened.video.height)
        if not size.width:
            size = _told_size(opened, opened.video.index, source, limits)
        check_limits(f"File '{opened.url}'", size, 1, limits)


def _told_size(opened: Opened, index: int, source: Descriptor, limits: MediaLimits) -> Size:
    """What the file says itself: a decoder that finds a picture over its limit tells no size."""
    position = os.lseek(source, 0, os.SEEK_CUR)
    with _open(source, opened.container, ["none"], limits) as input:
        stream = input.streams[index] if index < len(input.streams) else None
        size = Size(stream.width, stream.height) if isinstance(stream, VideoStream) else Size(0, 0)
    os.lseek(source, position, os.SEEK_SET)  # which both share
    return size


def not_valid(url: str, wanted: Wanted) -> TaskFailed:
    """What is said of a file that cannot be read as what is wanted."""
    return TaskFailed(f"File '{url}' is not a valid {_KINDS[wanted]} file")


def packets_of(input: InputContainer, *streams: Stream) -> "Iterator[Packet[Any]]":
    """From where the file was read to; the last packet of each stream is empty.

    A file may begin a stream in its middle, which PyAV then stumbles over at the end.
    """
    with suppress(IndexError):
        yield from input.demux(*streams)


def tells_alpha(stream: VideoStream) -> bool:
    """WebM has alpha in a picture of its own beside each frame, which only its header tells of."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return tags.get("alpha_mode") == "1"


def cover_of(input: InputContainer, codecs: Sequence[str]) -> int | None:
    """The index of the stream that is the cover of an album, in one of those codecs."""
    for stream in input.streams:
        is_cover = stream.disposition & Disposition.attached_pic and stream.codec_context
        if is_cover and stream.codec_context.codec.canonical_name in codecs:
            return stream.index
    return None


def decoded(opened: Opened, packet: "Packet[VideoStream]") -> list[VideoFrame]:
    """The frames that a packet completes; none if it is broken, as players pass over it too."""
    assert opened.decoder is not None  # noqa: S101 - there are packets of a video
    try:
        return opened.decoder.decode(packet)
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return []


def decoded_audio(packet: "Packet[AudioStream]") -> list[AudioFrame]:
    """The frames of sound in a packet; none if it is broken."""
    try:
        return packet.decode()
    except av.error.MemoryError:
        raise
    except av.FFmpegError:
        return []
