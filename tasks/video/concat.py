"""video.concat: videos one after the other as a single one."""

from typing import Annotated, Literal

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
from tasks.toolkit.sources import forget
from tasks.toolkit.video.clips import Clip, check_whole, clip_input, fetch_clip, frame_count
from tasks.toolkit.video.encoders import Kilobits, Rate, audio_encoder, video_encoder
from tasks.toolkit.video.filters import Frames, even, filter_chain
from tasks.toolkit.video.joining import join

JOINING = 0.1
"""The share of the work that joining the pieces is."""
HIGHEST_RATE = 60.0
USUAL_RATE = 25.0


class ConcatParams(Params, frozen=True):
    """Without a size, that of the first video; others fit inside it with black edges, or fill it
    with `crop`. Without a `frame_rate`, that of the first. Bitrates are in kbit/s, `crf` is the
    quality and `video_bitrate` the most that it may take, `gop` is in frames.
    """

    urls: Annotated[
        list[SourceUrl],
        Meta(min_length=1, max_length=100, description="a list of 1 to 100 URLs"),
    ]
    width: Pixels | None = None
    height: Pixels | None = None
    crop: bool = False
    video_bitrate: Kilobits = 3000
    audio_bitrate: Kilobits = 128
    sample_rate: Literal[22050, 44100, 48000] = 44100
    crf: Annotated[int, Meta(ge=0, le=51)] = 23
    gop: Annotated[int, Meta(ge=1, le=10_000)] = 250
    frame_rate: Annotated[float, Meta(ge=1, le=120)] | None = None
    mute: bool = False


class Concatenated(Result, frozen=True):
    """`starts` are the seconds at which each video begins in the output."""

    content_type: str
    width: int
    height: int
    duration: float | None
    frame_rate: float
    starts: list[float]
    output: Annotated[File, Media("video/mp4")]


class Form(Struct, frozen=True, kw_only=True):
    """What all pieces are made alike in."""

    size: Size
    frame_rate: float
    has_sound: bool


@task("video.concat", kind="heavy", timeout_seconds=4 * 3600)
async def concat(params: ConcatParams, ctx: Context) -> Concatenated:
    clips = [await fetch_clip(ctx, url) for url in params.urls]
    form = _form(params, clips)
    _check(ctx, form, clips)
    lengths = [clip.seconds or 0.0 for clip in clips]
    done = 0.0
    made = []
    for number, clip in enumerate(clips):
        piece = ctx.output(f"piece{number}", "video/quicktime")
        share = (1 - JOINING) * lengths[number] / sum(lengths)
        await _make_piece(params, ctx, clip, form, piece, begin=done, end=done + share)
        forget(clip.source)
        made.append(piece)
        done += share
    output = ctx.output("output", "video/mp4")
    sound = _sound(params) if form.has_sound else ["-an"]
    duration = await join(ctx, made, output, sum(lengths), sound=sound, begin=1 - JOINING)
    return Concatenated(
        content_type="video/mp4",
        width=form.size.width,
        height=form.size.height,
        duration=duration,
        frame_rate=form.frame_rate,
        starts=[round(sum(lengths[:number]), 3) for number in range(len(clips))],
        output=output,
    )


def _form(params: ConcatParams, clips: list[Clip]) -> Form:
    first = clips[0].video
    size = Size(params.width or 0, params.height or 0)
    if params.width is None or params.height is None:
        size = lay_out(first.display, Box(width=params.width, height=params.height)).output
    rate = float(first.frame_rate) if first.frame_rate else USUAL_RATE
    return Form(
        size=size.even(),
        frame_rate=params.frame_rate or min(rate, HIGHEST_RATE),
        has_sound=not params.mute and any(clip.media.audio for clip in clips),
    )


def _check(ctx: Context, form: Form, clips: list[Clip]) -> None:
    """Refuse what would be over a limit, before anything is made."""
    for clip in clips:
        if clip.seconds is None:
            url = clip.source.url
            raise TaskFailed(f"File '{url}' does not tell how long it is")
    count = sum(frame_count(clip, form.frame_rate) for clip in clips)
    check_video("The joined video", form.size, count, ctx.limits)
    whole = sum(clip.seconds or 0.0 for clip in clips)
    if whole > ctx.limits.max_duration_seconds:
        raise TaskFailed(
            f"The joined video lasts {whole:.0f} seconds, "
            f"more than the limit of {ctx.limits.max_duration_seconds} (max_duration_seconds)"
        )


async def _make_piece(
    params: ConcatParams,
    ctx: Context,
    clip: Clip,
    form: Form,
    piece: File,
    *,
    begin: float,
    end: float,
) -> None:
    """One video with the size, frame rate, colours and sound that all of them get."""
    box = Box(width=form.size.width, height=form.size.height, crop=params.crop)
    frames = Frames(
        layout=even(lay_out(clip.video.display, box)),
        pixel_format="yuv420p",
        frame_rate=form.frame_rate,
        pad=form.size,
        is_bt709=True,
    )
    rate = Rate(bitrate=params.video_bitrate, crf=params.crf, gop=params.gop)
    arguments: Arguments = [
        *clip_input(ctx, clip),
        *(_piece_sound(params, clip) if form.has_sound else ()),
        *("-map", f"0:{clip.video.index}", "-vf", filter_chain(clip.video, frames)),
        *video_encoder("h264", rate),
        *("-map_metadata", "-1", "-t", seconds(clip.seconds or 0.0), "-f", "mov", piece),
    ]
    try:
        progress = await encode(ctx, arguments, clip.seconds, begin=begin, end=end)
    except ProgramFailed as error:
        raise clip.not_made(error) from None
    seen_seconds = (progress.frames or 0) / form.frame_rate
    check_whole(clip, seen_seconds, has_sound=False)


def _piece_sound(params: ConcatParams, clip: Clip) -> Arguments:
    """As samples, because each encoded sound would begin with a little silence of its own.

    As long as the picture: what is missing is silence, also where there is no sound at all.
    """
    raw = ["-c:a", "pcm_s16le", "-ar", str(params.sample_rate), "-ac", "2"]
    if clip.media.audio is None:
        silence = f"anullsrc=sample_rate={params.sample_rate}:channel_layout=stereo"
        return ["-f", "lavfi", "-i", silence, "-map", "1:a", *raw]
    filled = "aresample=async=1:first_pts=0,apad"
    return ["-map", f"0:{clip.media.audio.index}", "-af", filled, *raw]


def _sound(params: ConcatParams) -> list[str]:
    return audio_encoder("aac", params.audio_bitrate, params.sample_rate, 2)
