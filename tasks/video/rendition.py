"""video.rendition: one rendition of an adaptive stream, as video.hls makes several of."""

from typing import Annotated

from dragon.task import Context, File, Media, Params, Pixels, ProgramFailed, Result, SourceUrl, task
from tasks.toolkit.geometry import Box, check_video, lay_out
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.media.running import encode
from tasks.toolkit.streaming import playlists
from tasks.toolkit.streaming.playlists import MEDIA_TYPES, PLAYLIST_TYPE, Packing, SegmentSeconds
from tasks.toolkit.video.clips import Clip, check_caps, check_whole, fetch_clip, frame_count
from tasks.toolkit.video.encoders import Kilobits, Rate
from tasks.toolkit.video.encoding import Encoding, Sound, stream_arguments
from tasks.toolkit.video.filters import Frames, even
from tasks.toolkit.video.targets import choose_codecs, choose_target

SAMPLE_RATE = 48_000
CRF = 21
_SEGMENT_OPTIONS: dict[Packing, tuple[str, ...]] = {
    # Else the picture would begin as late as its first frames wait for later ones.
    "cmaf": ("-hls_segment_type", "fmp4", "-hls_segment_options", "movflags=negative_cts_offsets"),
    "ts": ("-hls_segment_type", "mpegts"),
}


class RenditionParams(Params, frozen=True):
    """`video_bitrate` is the most that the picture may take, in kbit/s. All segments begin with
    a key frame, `segment_seconds` apart. Of a size with another shape what is over is cut.
    """

    url: SourceUrl
    width: Pixels | None = None
    height: Pixels | None = None
    video_bitrate: Kilobits = 2800
    audio_bitrate: Kilobits = 128
    packing: Packing = "cmaf"
    segment_seconds: SegmentSeconds = 4


class Made(Result, frozen=True):
    """`bandwidth` is the most that any segment takes, in bits a second."""

    width: int
    height: int
    duration: float
    frame_rate: float | None
    bandwidth: int
    average_bandwidth: int
    codecs: str
    content_type: str
    playlist: Annotated[File, Media("application/vnd.apple.mpegurl")]
    media: Annotated[File, Media("video/mp4, video/mp2t")]
    init: Annotated[File, Media("video/mp4")] | None


@task("video.rendition", kind="heavy", timeout_seconds=4 * 3600)
async def rendition(params: RenditionParams, ctx: Context) -> Made:
    clip = await fetch_clip(ctx, params.url)
    encoding = _encoding(params, ctx, clip)
    playlist = ctx.output("playlist", PLAYLIST_TYPE)
    media = ctx.output("media", MEDIA_TYPES[params.packing])
    arguments = [
        *stream_arguments(ctx, encoding),
        *_key_frames(params.segment_seconds),
        *_segments(params, playlist, media),
    ]
    try:
        progress = await encode(ctx, arguments, clip.seconds)
    except ProgramFailed as error:
        raise clip.not_made(error) from None
    check_caps(progress, ctx.limits)
    init = ctx.output("init", MEDIA_TYPES["cmaf"]) if params.packing == "cmaf" else None
    files = [playlist, media, *([init] if init else [])]
    names = [file.filename for file in files[1:]]
    stream = await ctx.isolated(playlists.finish, names, *files)
    check_whole(clip, stream.seconds, has_sound=encoding.sound is not None)
    size = encoding.frames.layout.output
    codecs = [stream.video_codec, *(["mp4a.40.2"] if encoding.sound else [])]
    return Made(
        width=size.width,
        height=size.height,
        duration=round(stream.seconds, 3),
        frame_rate=float(clip.video.frame_rate) if clip.video.frame_rate else None,
        bandwidth=stream.bandwidth,
        average_bandwidth=stream.average_bandwidth,
        codecs=",".join(codecs),
        content_type=PLAYLIST_TYPE,
        playlist=playlist,
        media=media,
        init=init,
    )


def _encoding(params: RenditionParams, ctx: Context, clip: Clip) -> Encoding:
    target = choose_target("mp4", "h264", "aac")
    box = Box(width=params.width, height=params.height, crop=True)
    layout = even(lay_out(clip.video.display, box))
    check_video("The rendition", layout.scaled, frame_count(clip, None), ctx.limits)
    sound = Sound(bitrate=params.audio_bitrate, sample_rate=SAMPLE_RATE)
    return Encoding(
        clip=clip,
        target=target,
        codecs=choose_codecs(target, "h264", "aac"),
        frames=Frames(layout=layout, pixel_format="yuv420p"),
        # Key frames come by time, so that they are at the same in each rendition.
        rate=Rate(bitrate=params.video_bitrate, crf=CRF, gop=10_000),
        sound=sound if clip.media.audio else None,
    )


def _key_frames(seconds: int) -> Arguments:
    return ["-sc_threshold", "0", "-force_key_frames", f"expr:gte(t,n_forced*{seconds})"]


def _segments(params: RenditionParams, playlist: File, media: File) -> Arguments:
    """All segments in one file, of which the playlist names parts."""
    return [
        *("-f", "hls", "-hls_time", str(params.segment_seconds)),
        *("-hls_playlist_type", "vod", "-hls_flags", "single_file"),
        *_SEGMENT_OPTIONS[params.packing],
        *("-hls_segment_filename", media, playlist),
    ]
