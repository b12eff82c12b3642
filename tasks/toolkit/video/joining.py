"""Joins files that we made alike into one, without making their video anew."""

from collections.abc import Sequence

from dragon.task import Context, File
from tasks.toolkit.media import probe
from tasks.toolkit.media.ffmpeg import Arguments, beginning, list_input, write_list
from tasks.toolkit.media.running import encode


async def join(
    ctx: Context,
    pieces: Sequence[File],
    output: File,
    seconds: float | None,
    *,
    sound: Sequence[str] = ("-an",),
    begin: float,
) -> float | None:
    """Write `output`, an MP4 of `pieces` in that order, with their sound made by `sound`.

    The pieces are files of the run's directory in MP4 or QuickTime, of the same codec and size.
    Tells progress from `begin` to 1; returns the seconds that came of it.
    """
    names = ctx.output("pieces", "text/plain")
    write_list(names, pieces)
    made: Arguments = ["-c:v", "copy", *sound, "-map_metadata", "-1", "-movflags", "+faststart"]
    opened = [*beginning(), *list_input(names, "mov")]
    await encode(ctx, [*opened, *made, "-f", "mp4", output], seconds, begin=begin)
    media = await ctx.isolated(probe.read, "output", output, ctx.limits, "video")
    return media.duration
