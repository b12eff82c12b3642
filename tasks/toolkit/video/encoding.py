"""Makes a video file of a source with ffmpeg, in one pass, in two, or by copying streams."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from dragon.task import Context, File, ProgramFailed, TaskFailed
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.media.running import encode
from tasks.toolkit.progress import Progress
from tasks.toolkit.video.clips import Clip, capped, check_caps, clip_input
from tasks.toolkit.video.encoders import Rate, audio_encoder, video_encoder
from tasks.toolkit.video.filters import Frames, filter_chain
from tasks.toolkit.video.targets import Codecs, Target

TRIES = 4
"""How often to encode for `max_bytes`; each time nearer, and a little below."""
FIRST_PASS = 0.4
"""The share of the work that the first of two passes is."""
CONTAINER_SHARE = 0.02
CONTAINER_BYTES = 1500
"""Of a file's bytes, what its container may take."""
SOUND_SHARE = 0.25
"""Of a file's bytes, what its sound takes at most where they are few."""
LEAST_SOUND_BITRATE = 16
LEAST_BITRATE = 10
BELOW = 0.96


class Sound(Struct, frozen=True, kw_only=True):
    """What the sound is made as: kbit/s, hertz; copied if `is_copy`."""

    bitrate: int
    sample_rate: int
    is_copy: bool = False


class Encoding(Struct, frozen=True, kw_only=True):
    """All that is decided before a video is made. `sound` None: it has none."""

    clip: Clip
    target: Target
    codecs: Codecs
    frames: Frames
    rate: Rate
    sound: Sound | None
    is_copy: bool = False
    faststart: bool = True
    max_bytes: int | None = None


async def make_video(ctx: Context, encoding: Encoding, output: File) -> None:
    """Write `output`, telling progress. Raises TaskFailed if that cannot be done."""
    try:
        if encoding.max_bytes is None:
            progress = await encode(ctx, _arguments(ctx, encoding, output), encoding.clip.seconds)
        else:
            progress = await _make_within(ctx, encoding, encoding.max_bytes, output)
    except ProgramFailed as error:
        raise encoding.clip.not_made(error) from None
    check_caps(progress, ctx.limits)


def stream_arguments(ctx: Context, encoding: Encoding) -> Arguments:
    """One run of ffmpeg up to its streams; which container they go into comes after that."""
    return [
        *clip_input(ctx, encoding.clip),
        *_video(ctx, encoding, None),
        *_sound(encoding),
        *_ending(ctx),
    ]


async def _make_within(ctx: Context, encoding: Encoding, max_bytes: int, output: File) -> Progress:
    """Encode for a size, again a little smaller where the encoder missed it."""
    if encoding.is_copy:
        progress = await encode(ctx, _arguments(ctx, encoding, output), encoding.clip.seconds)
        if output.path.stat().st_size <= max_bytes:
            return progress
    sized = _sized(encoding, max_bytes)
    for number in range(TRIES):
        progress = await _make_in_passes(ctx, sized, output, number=number)
        size = output.path.stat().st_size
        if size <= max_bytes:
            return progress
        bitrate = max(LEAST_BITRATE, int(sized.rate.bitrate * BELOW * max_bytes / size))
        sized = replace(sized, rate=replace(sized.rate, bitrate=bitrate))
    raise TaskFailed(f"the video takes {size} bytes, more than max_bytes = {max_bytes}")


def _sized(encoding: Encoding, max_bytes: int) -> Encoding:
    """The encoding at bitrates for that size. Raises TaskFailed if nothing could be seen then."""
    seconds, sound = encoding.clip.seconds, encoding.sound
    if not seconds:
        raise TaskFailed("max_bytes cannot be kept: the source does not tell how long it is")
    left = max_bytes * (1 - CONTAINER_SHARE) - CONTAINER_BYTES
    kilobits = left * 8 / seconds / 1000
    if sound is not None:
        bitrate = min(sound.bitrate, max(LEAST_SOUND_BITRATE, int(kilobits * SOUND_SHARE)))
        sound = replace(sound, bitrate=bitrate, is_copy=False)
        kilobits -= bitrate
    if kilobits < LEAST_BITRATE:
        raise TaskFailed(f"max_bytes = {max_bytes} is too little for {seconds:g} seconds")
    bitrate = min(int(kilobits), encoding.rate.bitrate)
    rate = replace(encoding.rate, bitrate=bitrate, crf=None)
    return replace(encoding, rate=rate, sound=sound, is_copy=False)


async def _make_in_passes(
    ctx: Context, encoding: Encoding, output: File, *, number: int
) -> Progress:
    """The first time with a pass that takes notes; each time half of what is left is done."""
    seconds = encoding.clip.seconds
    if number == 0:
        await encode(ctx, _arguments(ctx, encoding, None, step=1), seconds, end=FIRST_PASS)
    left = (1 - FIRST_PASS) / 2**number
    made = _arguments(ctx, encoding, output, step=2)
    return await encode(ctx, made, seconds, begin=1 - left, end=1 - left / 2)


def _arguments(
    ctx: Context, encoding: Encoding, output: File | None, *, step: Literal[1, 2] | None = None
) -> Arguments:
    """One run of ffmpeg; without an output, a first pass that only takes notes."""
    return [
        *clip_input(ctx, encoding.clip),
        *_video(ctx, encoding, step),
        *(_sound(encoding) if output else ["-an"]),
        *_ending(ctx),
        *(_container(encoding, output) if output else ["-f", "null", "-"]),
    ]


def _video(ctx: Context, encoding: Encoding, step: Literal[1, 2] | None) -> Arguments:
    chosen: Arguments = ["-map", f"0:{encoding.clip.video.index}"]
    if encoding.is_copy:
        tag = ["-tag:v", "hvc1"] if encoding.codecs.video == "hevc" else []
        return [*chosen, "-c:v", "copy", *tag]
    return [
        *chosen,
        *("-vf", capped(filter_chain(encoding.clip.video, encoding.frames), ctx.limits)),
        *("-fps_mode", "vfr"),
        # Else times would be rounded to those steps: frames lost, the picture late.
        *(("-enc_time_base", "demux") if _keeps_times(encoding) else ()),
        *video_encoder(encoding.codecs.video, encoding.rate, step=step),
    ]


def _keeps_times(encoding: Encoding) -> bool:
    """Whether frames may come at any time, and not in the steps of a steady rate."""
    is_steady = not encoding.clip.video.is_variable and encoding.clip.start is None
    return not is_steady and encoding.frames.frame_rate is None


def _sound(encoding: Encoding) -> Arguments:
    audio, sound = encoding.clip.media.audio, encoding.sound
    if audio is None or sound is None:
        return ["-an"]
    chosen: Arguments = ["-map", f"0:{audio.index}"]
    if sound.is_copy:
        return [*chosen, "-c:a", "copy"]
    made = audio_encoder(encoding.codecs.audio, sound.bitrate, sound.sample_rate, audio.channels)
    return [*chosen, *made]


def _ending(ctx: Context) -> Arguments:
    # Where, when and with what a video was made is nobody else's business.
    longest = str(ctx.limits.max_duration_seconds)
    return ["-map_metadata", "-1", "-map_chapters", "-1", "-t", longest]


def _container(encoding: Encoding, output: File) -> Arguments:
    is_fast = encoding.faststart and encoding.target.format == "mp4"
    options = ["-movflags", "+faststart"] if is_fast else []
    return [*options, "-f", encoding.target.muxer, output]
