"""video.convert: a video in another size, codec, container or length."""

from typing import Annotated, Literal

from msgspec import Meta

from dragon.task import Context, File, Media, Params, Pixels, Result, SourceUrl, TaskFailed, task
from tasks.toolkit.geometry import Box, check_limits, check_video, lay_out
from tasks.toolkit.media import probe
from tasks.toolkit.spans import Seconds
from tasks.toolkit.video.animations import (
    GIF_FRAME_RATE,
    WEBP_FRAME_RATE,
    Animation,
    frame_rate,
    make_gif,
    make_webp,
)
from tasks.toolkit.video.clips import Clip, check_whole, fetch_clip, frame_count
from tasks.toolkit.video.copying import copies_audio, copies_video
from tasks.toolkit.video.encoders import AudioCodec, Kilobits, Rate, VideoCodec
from tasks.toolkit.video.encoding import Encoding, Sound, make_video
from tasks.toolkit.video.filters import Frames, even
from tasks.toolkit.video.targets import (
    Codecs,
    Target,
    VideoFormat,
    choose_codecs,
    choose_target,
    pixel_format,
)


class ConvertParams(Params, frozen=True):
    """Bitrates are in kbit/s, `sample_rate` in hertz, `gop` in frames, `start` and `end` in
    seconds. `crf` is the quality, from 0, the best, to 51 for every codec, and `video_bitrate`
    the most that it may take.

    Without a `format` the codecs choose it: WebM for VP9, Matroska for sound that MP4 does not
    hold, else MP4. In a `format` that does not hold H.264 or AAC, these give way to VP9 and Opus.
    A GIF or WebP moves, and has at most 15 or 25 frames a second if no `frame_rate` is given.

    `copy` keeps streams that are what is asked for already. `max_bytes` is the largest file to be
    made: in two passes, with the bitrates that fit; a GIF or WebP above it is an error.

    The picture is upright, with square pixels; an odd side becomes the even one below. H.264 has
    8 bits, and HDR is mapped to what any screen shows; the others keep 10 bits and HDR.
    Transparency stays in GIF, WebP and WebM with VP9, and else is black. Sound has two channels at
    most. Words about the source, such as where it was shot, stay behind.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    crop: bool = False
    format: VideoFormat | None = None
    audio_codec: AudioCodec = "aac"
    video_codec: VideoCodec = "h264"
    video_bitrate: Kilobits = 3000
    audio_bitrate: Kilobits = 128
    sample_rate: Literal[22050, 44100, 48000] = 44100
    crf: Annotated[int, Meta(ge=0, le=51)] = 23
    gop: Annotated[int, Meta(ge=1, le=10_000)] = 250
    frame_rate: Annotated[float, Meta(ge=0.1, le=120)] | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    mute: bool = False
    faststart: bool = True
    copy: bool = False
    max_bytes: Annotated[int, Meta(ge=1)] | None = None


class Converted(Result, frozen=True):
    """`original_width` and `original_height` are the source's as seen, all else the output's."""

    content_type: str
    width: int
    height: int
    original_width: int
    original_height: int
    duration: float | None
    frame_rate: float | None
    audio_codec: str | None
    video_codec: str
    alpha: bool
    rotation: float | None
    output: Annotated[File, Media("video/*, image/gif, image/webp")]


@task("video.convert", kind="heavy", timeout_seconds=4 * 3600)
async def convert(params: ConvertParams, ctx: Context) -> Converted:
    clip = await fetch_clip(ctx, params.url, params.start, params.end)
    target = choose_target(params.format, params.video_codec, params.audio_codec)
    output = ctx.output("output", target.content_type)
    if target.is_animation:
        made = await _animate(params, ctx, clip, target, output)
    else:
        made = await _encode(params, ctx, clip, target, output)
    check_whole(clip, made.duration, has_sound=made.audio_codec is not None)
    return made


async def _encode(
    params: ConvertParams, ctx: Context, clip: Clip, target: Target, output: File
) -> Converted:
    encoding = _encoding(params, ctx, clip, target)
    await make_video(ctx, encoding, output)
    media = await ctx.isolated(probe.read, "output", output, ctx.limits, "video")
    video = media.video
    if video is None:
        raise TaskFailed(f"File '{params.url}' is not a valid video file")
    return Converted(
        content_type=target.content_type,
        width=video.width,
        height=video.height,
        original_width=clip.video.display.width,
        original_height=clip.video.display.height,
        duration=media.duration,
        frame_rate=float(video.frame_rate) if video.frame_rate else None,
        audio_codec=media.audio.codec if media.audio else None,
        video_codec=video.codec,
        alpha=video.alpha,
        rotation=video.rotation,
        output=output,
    )


def _encoding(params: ConvertParams, ctx: Context, clip: Clip, target: Target) -> Encoding:
    codecs = choose_codecs(target, params.video_codec, params.audio_codec)
    pixels = pixel_format(clip.video, codecs.video, target)
    frames = Frames(
        layout=even(lay_out(clip.video.display, _box(params))),
        pixel_format=pixels,
        keeps_hdr=pixels == "yuv420p10le",
        frame_rate=params.frame_rate,
    )
    rate = Rate(bitrate=params.video_bitrate, crf=params.crf, gop=params.gop)
    count = frame_count(clip, params.frame_rate)
    check_video("The converted video", frames.layout.scaled, count, ctx.limits)
    return Encoding(
        clip=clip,
        target=target,
        codecs=codecs,
        frames=frames,
        rate=rate,
        sound=_sound(params, clip, codecs),
        is_copy=params.copy and copies_video(clip, frames, codecs, target, rate),
        faststart=params.faststart,
        max_bytes=params.max_bytes,
    )


def _sound(params: ConvertParams, clip: Clip, codecs: Codecs) -> Sound | None:
    audio = clip.media.audio
    if audio is None or params.mute:
        return None
    bitrate, rate = params.audio_bitrate, params.sample_rate
    is_copy = params.copy and copies_audio(clip, audio, codecs, bitrate, rate)
    return Sound(bitrate=bitrate, sample_rate=rate, is_copy=is_copy)


async def _animate(
    params: ConvertParams, ctx: Context, clip: Clip, target: Target, output: File
) -> Converted:
    is_gif = target.format == "gif"
    rate = frame_rate(clip.video, params.frame_rate, GIF_FRAME_RATE if is_gif else WEBP_FRAME_RATE)
    alpha = clip.video.alpha
    frames = Frames(
        layout=lay_out(clip.video.display, _box(params)),
        pixel_format="rgb24" if is_gif and not alpha else "bgra",
        frame_rate=rate,
    )
    count = frame_count(clip, rate)
    check_limits("The animation", frames.layout.scaled, count, ctx.limits)
    animation = Animation(clip=clip, frames=frames, quality=round(100 - params.crf * 100 / 51))
    make = make_gif if is_gif else make_webp
    progress = await make(ctx, animation, output)
    made = round((progress.out_time or 0.0) * rate)
    check_limits("The animation", frames.layout.scaled, made, ctx.limits)
    size = output.path.stat().st_size
    if params.max_bytes is not None and size > params.max_bytes:
        words = f"more than max_bytes = {params.max_bytes}"
        raise TaskFailed(f"the animation takes {size} bytes, {words}")
    return Converted(
        content_type=target.content_type,
        width=frames.layout.output.width,
        height=frames.layout.output.height,
        original_width=clip.video.display.width,
        original_height=clip.video.display.height,
        duration=progress.out_time,
        frame_rate=rate,
        audio_codec=None,
        video_codec=target.format,
        alpha=alpha,
        rotation=0,
        output=output,
    )


def _box(params: ConvertParams) -> Box:
    return Box(width=params.width, height=params.height, crop=params.crop)
