"""audio.beats: when the beats of music fall, and which of them begin a bar."""

import msgspec

from dragon.task import (
    Context,
    Descriptor,
    File,
    MediaLimits,
    Params,
    Result,
    SourceUrl,
    TaskFailed,
    Tell,
    task,
)
from tasks.toolkit.audio import recordings
from tasks.toolkit.progress import Meter, Progress

MAX_TOLD_BYTES = 16 * 1024 * 1024
"""Of a child that was taken over, no more is read than this."""

HEARING = 0.9
"""Of the whole work; to find the beats in what was heard is the rest."""


class BeatsParams(Params, frozen=True):
    url: SourceUrl


class Beats(Result, frozen=True):
    """Seconds from the start of the file; `duration` is that of its sound, in whole seconds.

    Where nothing keeps a beat, such as in speech or silence, there are no beats; where no beat is
    stressed more than others there are no downbeats.
    """

    beats: list[float]
    downbeats: list[float]
    duration: int


@task("audio.beats", kind="heavy", timeout_seconds=300)
async def beats(params: BeatsParams, ctx: Context) -> Beats:
    source = await ctx.fetch(params.url, is_media=True)
    # The beats of some hours are too many for an answer of a child: they come in a file.
    told = ctx.output("beats", "application/json")
    await ctx.isolated(find, params.url, source, told, ctx.limits, ctx.progress)
    return read(told)


def find(url: str, source: Descriptor, output: Descriptor, limits: MediaLimits, tell: Tell) -> None:
    """Runs in a decoder child."""
    from tasks.toolkit.audio import sound
    from tasks.toolkit.media import demux
    from tasks.toolkit.music import rhythm

    # Packets are counted long before they are decoded: a file may not tell how long it is.
    recordings.read(url, source, limits)
    meter = Meter(tell, end=HEARING)
    with demux.open_media(url, source, limits, "audio") as opened:
        pieces = sound.mono(opened, rhythm.SAMPLE_RATE, limits)
        found = rhythm.rhythm_of(sound.metered(pieces, rhythm.SAMPLE_RATE, opened, meter))
    tell(Progress(fraction=1.0, out_time=round(found.seconds, 2), seconds_left=0.0))
    result = Beats(beats=found.beats, downbeats=found.downbeats, duration=round(found.seconds))
    with open(output, "wb", closefd=False) as file:
        file.write(msgspec.json.encode(result))


def read(told: File) -> Beats:
    """What `find` wrote. Raises TaskFailed if that is not what it says."""
    with told.path.open("rb") as file:
        text = file.read(MAX_TOLD_BYTES)
    try:
        return msgspec.json.decode(text, type=Beats)
    except msgspec.MsgspecError:
        raise TaskFailed("the file crashed its decoder (unreadable beats)") from None
