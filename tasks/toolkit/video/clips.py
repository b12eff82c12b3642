"""A piece of a video that is to be made into something: fetched, read and cut in time."""

from msgspec.structs import replace

from dragon.task import Context, MediaLimits, ProgramFailed, Source, TaskFailed
from tasks.toolkit import spans
from tasks.toolkit.media import probe
from tasks.toolkit.media.ffmpeg import Arguments, beginning, source_input
from tasks.toolkit.media.media import Media, VideoStream
from tasks.toolkit.progress import Progress
from tasks.toolkit.spans import Span


class Clip(Span, frozen=True, kw_only=True):
    """The part of a video that was fetched."""

    source: Source
    media: Media
    video: VideoStream

    @property
    def picture_seconds(self) -> float | None:
        """How long there is something to see; sound may go on, and not each file tells that."""
        if self.seconds is None or self.media.audio is None:
            return self.seconds
        if self.video.duration is None:
            return None
        return min(self.seconds, max(0.0, self.video.duration - (self.start or 0.0)))

    @property
    def bit_rate(self) -> int | None:
        """Of the video in bits a second; where only the whole file tells one, that."""
        if self.video.bit_rate is not None or not self.media.duration:
            return self.video.bit_rate
        return int(self.media.size * 8 / self.media.duration)

    def not_made(self, error: ProgramFailed) -> TaskFailed:
        """Words for a clip that ffmpeg could make nothing of."""
        words = error.lines[0] if error.lines else error.message
        return TaskFailed(f"File '{self.source.url}' could not be converted: {words}")


async def fetch_clip(
    ctx: Context, url: str, start: float | None = None, end: float | None = None
) -> Clip:
    """Raises TaskFailed if this is no video, or nothing of it lies between `start` and `end`."""
    source = await ctx.fetch(url, is_media=True)
    media = await ctx.isolated(probe.read, url, source, ctx.limits, "video")
    if media.video is None:
        raise TaskFailed(f"File '{url}' is not a valid video file")
    whole = Clip(
        source=source,
        media=media,
        video=media.video,
        start=None,
        end=None,
        seconds=media.duration,
    )
    return cut(whole, start, end)


def cut(whole: Clip, start: float | None, end: float | None) -> Clip:
    """A part of a clip that is whole. Raises TaskFailed if nothing lies there."""
    span = spans.cut(whole.media.duration, start, end)
    return replace(whole, start=span.start, end=span.end, seconds=span.seconds)


def frame_count(clip: Clip, rate: float | None) -> int:
    """About how many frames will be made of it, by its own rate or another."""
    if rate is None:
        rate = float(clip.video.frame_rate) if clip.video.frame_rate else 0.0
    return max(1, round((clip.seconds or 0.0) * rate))


def clip_input(ctx: Context, clip: Clip) -> Arguments:
    """How a run of ffmpeg begins that reads the clip."""
    opened = source_input(clip.source, clip.media, ctx.limits, start=clip.start, end=clip.end)
    return [*beginning(), *opened]


def check_whole(clip: Clip, made_seconds: float | None, *, has_sound: bool) -> None:
    """Raises TaskFailed if much less was made than the source promised: it is cut off."""
    promised = clip.seconds if has_sound else clip.picture_seconds
    spans.check_whole(clip.source.url, "video", promised, made_seconds)


def capped(chain: str, limits: MediaLimits) -> str:
    """The filters, with one frame above the limit, which tells that there are too many.

    Not by ffmpeg's own option, which would end the sound with the picture.
    """
    return f"{chain},trim=end_frame={limits.max_video_frames + 1}"


def check_caps(progress: Progress, limits: MediaLimits) -> None:
    """Raises TaskFailed if there was more to be made than `capped` let through."""
    if (progress.frames or 0) > limits.max_video_frames:
        raise TaskFailed(
            "The video has more frames than its header tells, and "
            f"than the limit of {limits.max_video_frames} (max_video_frames)"
        )
