"""video.info: what a video is, read from its headers and its first frame."""

from dragon.task import Context, Descriptor, MediaLimits, Params, Result, SourceUrl, task
from tasks.toolkit.media import probe


class InfoParams(Params, frozen=True):
    url: SourceUrl


class Info(Result, frozen=True):
    """`width` and `height` are those of the pixels as stored; `display_width` and
    `display_height` are those of the picture as seen, its pixels made square and turned upright.

    `duration` is in seconds, `frame_rate` in frames a second, on average where `variable` is
    true. `rotation` is in degrees, counter-clockwise, what turns the stored picture upright; None
    where a flip would be needed. `hdr` is true of PQ and HLG. Without sound, what tells of it is
    None.
    """

    content_type: str
    width: int
    height: int
    display_width: int
    display_height: int
    duration: float | None
    frame_rate: float | None
    variable: bool
    alpha: bool
    rotation: float | None
    bit_depth: int
    hdr: bool
    video_codec: str
    audio_codec: str | None
    sample_rate: int | None
    channels: int | None


@task("video.info", timeout_seconds=60)
async def info(params: InfoParams, ctx: Context) -> Info:
    source = await ctx.fetch(params.url, is_media=True)
    return await ctx.isolated(inspect, params.url, source, ctx.limits)


def inspect(url: str, source: Descriptor, limits: MediaLimits) -> Info:
    """Runs in a decoder child."""
    media = probe.read(url, source, limits, "video")
    video, audio = media.video, media.audio
    assert video is not None  # noqa: S101 - it was wanted
    return Info(
        content_type=media.content_type,
        width=video.width,
        height=video.height,
        display_width=video.display.width,
        display_height=video.display.height,
        duration=media.duration,
        frame_rate=float(video.frame_rate) if video.frame_rate else None,
        variable=video.is_variable,
        alpha=video.alpha,
        rotation=video.rotation,
        bit_depth=video.bit_depth,
        hdr=video.is_hdr,
        video_codec=video.codec,
        audio_codec=audio.codec if audio else None,
        sample_rate=audio.sample_rate if audio else None,
        channels=audio.channels if audio else None,
    )
