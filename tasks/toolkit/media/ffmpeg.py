"""Builds arguments of ffmpeg: how all its runs begin, and how it opens what it reads."""

from collections.abc import Sequence

from dragon.task import File, MediaLimits, Source
from tasks.toolkit.media.containers import ALPHA_DECODERS, DECODERS
from tasks.toolkit.media.media import Media

Arguments = list[str | Source | File]


def beginning() -> Arguments:
    """What comes first: ffmpeg reads no commands, and tells its progress as `name=value` lines."""
    quiet = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-y")
    return ["ffmpeg", *quiet, "-progress", "pipe:1", "-stats_period", "0.25"]


def source_input(
    source: Source | File,
    media: Media,
    limits: MediaLimits,
    *,
    start: float | None = None,
    end: float | None = None,
) -> Arguments:
    """Read `source` as what it was found to be, and as nothing else; seconds from its beginning.

    Its streams begin at 0 in what is made of it, or where `start` cuts.
    """
    return [
        *("-protocol_whitelist", "file"),
        *("-format_whitelist", media.demuxer),
        *("-codec_whitelist", ",".join(DECODERS)),
        *("-max_pixels", str(limits.max_pixels)),
        *_alpha_decoder(media),
        *(("-ss", seconds(start)) if start else ()),
        *(("-t", seconds(end - (start or 0))) if end is not None else ()),
        *("-f", media.demuxer, "-i", source),
    ]


def list_input(pieces: File, demuxer: str) -> Arguments:
    """Read files that we made one after the other, as a list of `write_list` names them."""
    return [
        *("-protocol_whitelist", "file"),
        *("-format_whitelist", f"concat,{demuxer}"),
        *("-safe", "0", "-f", "concat", "-i", pieces),
    ]


def write_list(pieces: File, files: Sequence[File]) -> None:
    """For `list_input`: only names of our making, which need no quotes."""
    lines = (f"file {file.path.name}\n" for file in files)
    pieces.path.write_text("ffconcat version 1.0\n" + "".join(lines), "utf-8")


def seconds(value: float) -> str:
    """A time as ffmpeg reads it, to the microsecond that it counts by."""
    return f"{value:.6f}"


def _alpha_decoder(media: Media) -> tuple[str, ...]:
    if media.video is None or not media.video.alpha or media.video.codec not in ALPHA_DECODERS:
        return ()
    return ("-c:v", ALPHA_DECODERS[media.video.codec])
