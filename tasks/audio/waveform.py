"""audio.waveform: a picture of how loud a recording is over time, or the numbers for one."""

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from dragon.task import (
    Context,
    Descriptor,
    File,
    Media,
    MediaLimits,
    Params,
    Pixels,
    Result,
    SourceUrl,
    TaskFailed,
    Tell,
    task,
)
from tasks.toolkit import spans
from tasks.toolkit.audio import recordings
from tasks.toolkit.colors import Color
from tasks.toolkit.geometry import Size, check_limits
from tasks.toolkit.progress import Meter
from tasks.toolkit.spans import Seconds

if TYPE_CHECKING:
    from tasks.toolkit.audio import peaks

CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "json": "application/json"}
DECIMALS = 4


class WaveformParams(Params, frozen=True):
    """`vmargin` is in pixels, left free above and below; `start` and `end` are in seconds.

    The format json has `width` peaks instead of a picture.
    """

    url: SourceUrl
    width: Pixels = 1024
    height: Pixels = 60
    vmargin: Annotated[int, Meta(ge=0, le=8_191)] = 0
    fill: Color = "#000000"
    background: Color = "#FFFFFF"
    start: Seconds = 0.0
    end: Seconds | None = None
    format: Literal["png", "jpeg", "json"] = "jpeg"


class Waveform(Result, frozen=True):
    """`duration` is that of the source's sound, in seconds.

    In the format json the file is an object with `start` and `end`, in seconds, of what it shows,
    and `peaks`: a list of `width` pairs, the lowest and the highest sample of all channels in each
    of so many equal steps, from -1 to 1.
    """

    duration: float
    width: int
    height: int
    content_type: str
    output: Annotated[File, Media("image/jpeg, image/png, application/json")]


class Peaks(Struct, frozen=True):
    """What is in a file of JSON."""

    start: float
    end: float
    peaks: list[list[float]]


@task("audio.waveform", kind="heavy", timeout_seconds=300)
async def waveform(params: WaveformParams, ctx: Context) -> Waveform:
    if params.vmargin * 2 >= params.height:
        raise TaskFailed(f"vmargin = {params.vmargin} leaves nothing of height = {params.height}")
    check_limits("The waveform", Size(params.width, params.height), 1, ctx.limits)
    source = await ctx.fetch(params.url, is_media=True)
    output = ctx.output("output", CONTENT_TYPES[params.format])
    duration = await ctx.isolated(render, params, ctx.limits, source, output, ctx.progress)
    return Waveform(
        duration=round(duration, 2),
        width=params.width,
        height=params.height,
        content_type=output.content_type,
        output=output,
    )


def render(
    params: WaveformParams,
    limits: MediaLimits,
    source: Descriptor,
    output: Descriptor,
    tell: Tell,
) -> float:
    """Runs in a decoder child; the duration of the source's sound in seconds."""
    from tasks.toolkit.audio import peaks
    from tasks.toolkit.media import demux

    recording = recordings.read(params.url, source, limits)
    span = spans.cut(recording.duration, params.start, params.end)
    meter = Meter(tell)

    def on_read(seconds: float) -> None:
        meter.reached(seconds / span.seconds if span.seconds else 0, out_time=round(seconds, 2))

    with demux.open_media(params.url, source, limits, "audio") as opened:
        found = peaks.peaks_of(opened, span, params.width, limits, on_read)
    spans.check_whole(params.url, "audio", span.seconds, found.seconds)
    _write(params, found, output)
    return recording.duration or found.seconds


def _write(params: WaveformParams, found: "peaks.Peaks", output: Descriptor) -> None:
    if params.format == "json":
        pairs = found.extremes.T.astype(float).round(DECIMALS).tolist()
        end = round(params.start + found.seconds, DECIMALS)
        with open(output, "wb", closefd=False) as file:
            file.write(msgspec.json.encode(Peaks(params.start, end, pairs)))
        return
    from tasks.toolkit.audio import waves
    from tasks.toolkit.pictures import saving

    size = Size(params.width, params.height)
    image = waves.draw(found.extremes, size, params.vmargin, params.fill, params.background)
    saving.save(image, output, params.format)
