"""audio.info: what a recording is, or the sound of a video."""

from dragon.task import Context, Descriptor, MediaLimits, Params, Result, SourceUrl, task
from tasks.toolkit.audio import recordings


class InfoParams(Params, frozen=True):
    url: SourceUrl


class Info(Result, frozen=True):
    """`duration` is in seconds, `sample_rate` in hertz, `bit_rate` in bits a second.

    `bit_depth` is null of codecs that lose something, such as mp3. `tags` are those of these
    names that the file has: title, artist, album, album_artist, composer, track, disc, date,
    genre, comment, copyright. `cover` tells whether a picture of the album is in the file.
    """

    content_type: str
    duration: float | None
    codec: str
    sample_rate: int
    channels: int
    layout: str
    bit_rate: int | None
    bit_depth: int | None
    tags: dict[str, str]
    cover: bool


@task("audio.info", timeout_seconds=60)
async def info(params: InfoParams, ctx: Context) -> Info:
    source = await ctx.fetch(params.url, is_media=True)
    return await ctx.isolated(inspect, params.url, source, ctx.limits)


def inspect(url: str, source: Descriptor, limits: MediaLimits) -> Info:
    """Runs in a decoder child."""
    recording = recordings.read(url, source, limits)
    audio = recording.audio
    return Info(
        content_type=recording.media.content_type,
        duration=recordings.hundredths(recording.duration),
        codec=audio.codec,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        layout=audio.layout,
        bit_rate=recording.bit_rate,
        bit_depth=recording.bit_depth,
        tags=recording.tags,
        cover=recording.cover is not None,
    )
