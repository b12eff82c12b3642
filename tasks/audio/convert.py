"""audio.convert: a recording, or the sound of a video, in another codec, length or loudness."""

from typing import Annotated, Literal

from msgspec import Meta

from dragon.task import Context, File, Media, Params, ProgramFailed, Result, SourceUrl, task
from tasks.toolkit.audio import recordings, sounds
from tasks.toolkit.audio.loudness import Gain, Leveller
from tasks.toolkit.audio.pieces import Piece, fetch_piece, piece_input
from tasks.toolkit.audio.recordings import Recording
from tasks.toolkit.audio.sounds import KINDS, Codec, Sound
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.media.running import encode
from tasks.toolkit.spans import Seconds

MEASURING_SHARE = 0.5
"""Of all the work, where the loudness is to be found first."""

SampleRate = Literal[
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000,
    176_400, 192_000,
]  # fmt: skip


class ConvertParams(Params, frozen=True):
    """`bitrate` is in kbit/s and for codecs that lose something, `sample_rate` in hertz, `start`
    and `end` in seconds, `loudness` in LUFS (EBU R 128): -23 is usual in television, -14 to -16
    on the web. Where nothing is said of them the source's rate and channels are kept, as far as
    the codec has them.

    A whole source that has that codec and all else that was asked for is copied as it is; `force`
    encodes it again.
    """

    url: SourceUrl
    codec: Codec = "mp3"
    force: bool = False
    bitrate: Annotated[int, Meta(ge=8, le=1_000)] | None = None
    sample_rate: SampleRate | None = None
    channels: Annotated[int, Meta(ge=1, le=8)] | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    loudness: Annotated[float, Meta(ge=-70, le=-5)] | None = None


class Converted(Result, frozen=True):
    """All is of the output: `duration` in seconds, `sample_rate` in hertz, `bit_rate` in bits a
    second.

    `loudness` is what was reached, where one was asked for: less where peaks leave no room, and
    null of silence.
    """

    duration: float | None
    content_type: str
    codec: str
    sample_rate: int
    channels: int
    bit_rate: int | None
    loudness: float | None
    output: Annotated[File, Media("audio/*")]


@task("audio.convert", kind="heavy", timeout_seconds=4 * 3600)
async def convert(params: ConvertParams, ctx: Context) -> Converted:
    piece = await fetch_piece(ctx, params.url, params.start, params.end)
    sound = sounds.choose_sound(
        KINDS[params.codec], piece.recording, params.sample_rate, params.channels, params.bitrate
    )
    output = ctx.output("output", sound.kind.content_type)
    try:
        gain = await _make(params, ctx, piece, sound, output)
    except ProgramFailed as error:
        raise piece.not_made(error) from None
    made = await ctx.isolated(recordings.read, params.url, output, ctx.limits)
    piece.check_whole(made.duration)
    return Converted(
        duration=recordings.hundredths(made.duration),
        content_type=output.content_type,
        codec=made.audio.codec,
        sample_rate=made.audio.sample_rate,
        channels=made.audio.channels,
        bit_rate=made.bit_rate,
        loudness=round(gain.loudness, 1) if gain else None,
        output=output,
    )


async def _make(
    params: ConvertParams, ctx: Context, piece: Piece, sound: Sound, output: File
) -> Gain | None:
    """Write `output`, telling progress; returns what it was made louder or softer by."""
    reading, seconds = piece_input(ctx, piece), piece.span.seconds
    writing = _container(piece.recording, sound, ctx.limits.max_duration_seconds, output)
    if _is_copy(params, piece, sound):
        await encode(ctx, [*reading, "-c:a", "copy", *writing], seconds)
        return None
    shaping, begin, gain = sounds.shaping(piece.recording, sound), 0.0, None
    if params.loudness is not None:
        begin = MEASURING_SHARE
        leveller = Leveller(ctx, reading, shaping, seconds)
        gain = await leveller.find_gain(params.loudness, end=begin)
    filters = f"{shaping},{gain.filter}" if gain else shaping
    making = ["-af", filters, *sounds.encoder(sound)]
    await encode(ctx, [*reading, *making, *writing], seconds, begin=begin)
    return gain


def _is_copy(params: ConvertParams, piece: Piece, sound: Sound) -> bool:
    is_as_it_is = piece.span.is_whole and params.loudness is None and not params.force
    return is_as_it_is and sounds.is_already(piece.recording, sound, params.bitrate)


def _container(recording: Recording, sound: Sound, max_seconds: int, output: File) -> Arguments:
    """One second more than is allowed shows that there would be too much."""
    kind, cover = sound.kind, recording.cover
    tags = (("-metadata", f"{name}={value}") for name, value in recording.tags.items())
    return [
        *("-map_metadata", "-1", "-map_chapters", "-1"),
        *(word for tag in tags for word in tag),
        *(_cover(cover) if cover is not None and kind.has_cover else ()),
        *("-t", str(max_seconds + 1)),
        *kind.options,
        *("-f", kind.muxer, output),
    ]


def _cover(index: int) -> list[str]:
    return ["-map", f"0:{index}", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
