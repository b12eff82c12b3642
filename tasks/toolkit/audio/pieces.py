"""A piece of a recording that is to be made into something: fetched, read and cut in time."""

from msgspec import Struct

from dragon.task import Context, ProgramFailed, Source, TaskFailed
from tasks.toolkit import spans
from tasks.toolkit.audio import recordings
from tasks.toolkit.audio.recordings import Recording
from tasks.toolkit.media.ffmpeg import Arguments, beginning, source_input
from tasks.toolkit.spans import Span


class Piece(Struct, frozen=True, kw_only=True):
    """The part `span` of a recording that was fetched."""

    source: Source
    recording: Recording
    span: Span

    def not_made(self, error: ProgramFailed) -> TaskFailed:
        """Words for a piece that ffmpeg could make nothing of."""
        words = error.lines[-1] if error.lines else error.message
        return TaskFailed(f"File '{self.source.url}' could not be converted: {words}")

    def check_whole(self, made_seconds: float | None) -> None:
        """Raises TaskFailed if much less was made than the source promised: it is cut off."""
        spans.check_whole(self.source.url, "audio", self.span.seconds, made_seconds)


async def fetch_piece(ctx: Context, url: str, start: float | None, end: float | None) -> Piece:
    """Raises TaskFailed if there is no sound, or nothing of it lies between `start` and `end`."""
    source = await ctx.fetch(url, is_media=True)
    recording = await ctx.isolated(recordings.read, url, source, ctx.limits)
    span = spans.cut(recording.duration, start, end)
    return Piece(source=source, recording=recording, span=span)


def piece_input(ctx: Context, piece: Piece) -> Arguments:
    """How a run of ffmpeg begins that reads the piece, and of its file nothing but the sound."""
    media, span = piece.recording.media, piece.span
    opened = source_input(piece.source, media, ctx.limits, start=span.start, end=span.end)
    return [*beginning(), *opened, "-map", f"0:{piece.recording.audio.index}"]
