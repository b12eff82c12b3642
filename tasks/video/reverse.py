"""video.reverse: a video that runs from its end to its beginning, without sound."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from dragon.task import (
    Context,
    File,
    Media,
    Params,
    Pixels,
    ProgramFailed,
    Result,
    SourceUrl,
    TaskFailed,
    task,
)
from tasks.toolkit.geometry import Box, Size, check_video, lay_out
from tasks.toolkit.media.ffmpeg import Arguments, seconds
from tasks.toolkit.media.running import encode
from tasks.toolkit.video.clips import (
    Clip,
    capped,
    check_whole,
    clip_input,
    cut,
    fetch_clip,
    frame_count,
)
from tasks.toolkit.video.encoders import Kilobits, Rate, VideoCodec, video_encoder
from tasks.toolkit.video.filters import Frames, even, filter_chain
from tasks.toolkit.video.joining import join

PIECE_BYTES = 512 * 1024**2
"""Of frames that wait in memory until the first can be shown, as it was the last."""
USUAL_RATE = 25.0
HIGHEST_RATE = 60.0
USUAL_BITRATE = 3000
JOINING = 0.05
"""The share of the work that joining the pieces is."""

_NOTHING = "received no packets"
_BACKWARDS = "reverse,setpts=PTS-STARTPTS"


class ReverseParams(Params, frozen=True):
    """`video_bitrate` is in kbit/s, the most that the quality `crf` may take; if it is not given,
    what the source takes. `gop` is in frames.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    crop: bool = False
    video_codec: VideoCodec = "h264"
    video_bitrate: Kilobits | None = None
    crf: Annotated[int, Meta(ge=0, le=51)] = 23
    gop: Annotated[int, Meta(ge=1, le=10_000)] = 250


class Reversed(Result, frozen=True):
    """`duration` is in seconds."""

    duration: float | None
    output: Annotated[File, Media("video/mp4")]


class Piece(Struct, frozen=True):
    """A part of the source, and its share of the whole work."""

    clip: Clip
    begin: float
    end: float


@task("video.reverse", kind="heavy", timeout_seconds=4 * 3600)
async def reverse(params: ReverseParams, ctx: Context) -> Reversed:
    return await reverse_within(params, ctx, PIECE_BYTES)


async def reverse_within(params: ReverseParams, ctx: Context, piece_bytes: int) -> Reversed:
    """The same, with about so much memory for frames that wait."""
    clip = await fetch_clip(ctx, params.url)
    box = Box(width=params.width, height=params.height, crop=params.crop)
    frames = Frames(layout=even(lay_out(clip.video.display, box)), pixel_format="yuv420p")
    check_video("The reversed video", frames.layout.scaled, frame_count(clip, None), ctx.limits)
    made = []
    for number, piece in enumerate(pieces(clip, frames.layout.output, piece_bytes)):
        file = ctx.output(f"piece{number}", "video/mp4")
        if await _reverse_piece(params, ctx, piece, frames, file):
            made.append(file)
    if not made:
        raise TaskFailed(f"File '{params.url}' is not a valid video file: no frame can be read")
    output = ctx.output("output", "video/mp4")
    duration = await join(ctx, made, output, clip.seconds, begin=1 - JOINING)
    check_whole(clip, duration, has_sound=False)
    return Reversed(duration=duration, output=output)


def pieces(clip: Clip, size: Size, piece_bytes: int) -> Iterator[Piece]:
    """The last first. Each ends between two frames, so that no rounding moves one across."""
    rate = _steady_rate(clip)
    length = max(1, piece_bytes * 2 // (size.width * size.height * 3)) / rate
    between = 0.5 / rate
    whole = clip.picture_seconds or clip.seconds or 0.0
    count = max(1, int(whole / length) + 1)
    share = (1 - JOINING) / count
    for place, number in enumerate(reversed(range(count))):
        start = number * length - between if number else None
        end = (number + 1) * length - between if number + 1 < count else None
        yield Piece(cut(clip, start, end), place * share, (place + 1) * share)


async def _reverse_piece(
    params: ReverseParams, ctx: Context, piece: Piece, frames: Frames, file: File
) -> bool:
    """Whether there was anything: where sound goes on, nothing is to be seen any more."""
    clip = piece.clip
    rate = Rate(bitrate=_bitrate(params, clip), crf=params.crf, gop=params.gop)
    chain = capped(",".join([*_steady(clip), filter_chain(clip.video, frames)]), ctx.limits)
    arguments: Arguments = [
        *clip_input(ctx, clip),
        *("-map", f"0:{clip.video.index}", "-vf", f"{chain},{_BACKWARDS}"),
        *("-fps_mode", "passthrough", "-an", "-map_metadata", "-1"),
        *video_encoder(params.video_codec, rate),
        *("-f", "mp4", file),
    ]
    try:
        progress = await encode(ctx, arguments, clip.seconds, begin=piece.begin, end=piece.end)
    except ProgramFailed as error:
        if any(_NOTHING in line for line in error.lines):
            return False
        raise clip.not_made(error) from None
    return bool(progress.frames)


def _steady_rate(clip: Clip) -> float:
    rate = float(clip.video.frame_rate) if clip.video.frame_rate else USUAL_RATE
    return min(max(rate, USUAL_RATE), HIGHEST_RATE) if clip.video.is_variable else rate


def _steady(clip: Clip) -> list[str]:
    """Exactly the frames of the piece; at equal steps, as ffmpeg turns pictures, but no times."""
    if clip.seconds is None:
        return []
    end = f"trim=end={seconds(clip.seconds)}"
    if not clip.video.is_variable:
        return [end] if clip.end is not None else []
    hold = "tpad=stop=-1:stop_mode=clone"
    return [end, hold, f"fps={_steady_rate(clip):.6f}:start_time=0", end]


def _bitrate(params: ReverseParams, clip: Clip) -> int:
    if params.video_bitrate is not None:
        return params.video_bitrate
    return max(8, clip.bit_rate // 1000) if clip.bit_rate else USUAL_BITRATE
