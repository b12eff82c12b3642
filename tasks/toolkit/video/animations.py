"""Makes a gif or an animated webp of a video with ffmpeg."""

from msgspec import Struct

from dragon.task import Context, File, ProgramFailed
from tasks.toolkit.media.ffmpeg import Arguments
from tasks.toolkit.media.media import VideoStream
from tasks.toolkit.media.running import encode
from tasks.toolkit.progress import Progress
from tasks.toolkit.video.clips import Clip, clip_input
from tasks.toolkit.video.filters import Frames, filter_chain

GIF_FRAME_RATE = 15.0
WEBP_FRAME_RATE = 25.0
"""The most a second, if no other number is asked for: each frame of these costs much."""

_PALETTE = "palettegen=stats_mode=diff"
_USE_PALETTE = "paletteuse=dither=sierra2_4a:diff_mode=rectangle"


class Animation(Struct, frozen=True, kw_only=True):
    """All that is decided before an animation is made; `quality` of a webp from 0 to 100."""

    clip: Clip
    frames: Frames
    quality: int


async def make_gif(ctx: Context, animation: Animation, output: File) -> Progress:
    """Write `output`: first the 256 colours that suit it best, then the frames in them.

    In two runs, as in one all frames would wait in memory for their colours.
    """
    palette = ctx.output("palette", "image/png")
    opened = clip_input(ctx, animation.clip)
    stream = f"0:{animation.clip.video.index}"
    chain = _chain(ctx, animation)
    chosen = ["-map", stream, "-vf", f"{chain},{_PALETTE}"]
    first: Arguments = [*opened, *chosen, "-update", "1", "-f", "image2", palette]
    await _run(ctx, animation, first, end=0.4)
    colours: Arguments = ["-protocol_whitelist", "file", "-f", "png_pipe", "-i", palette]
    draw = ["-filter_complex", f"[{stream}]{chain}[frames];[frames][1:v]{_USE_PALETTE}"]
    made: Arguments = [*draw, "-an", "-loop", "0", "-f", "gif", output]
    return await _run(ctx, animation, [*opened, *colours, *made], begin=0.4)


async def make_webp(ctx: Context, animation: Animation, output: File) -> Progress:
    """Write `output`, with alpha where the source has it."""
    opened = clip_input(ctx, animation.clip)
    chain = _chain(ctx, animation)
    chosen = ["-map", f"0:{animation.clip.video.index}", "-vf", chain]
    encoder = ["-c:v", "libwebp_anim", "-quality", str(animation.quality), "-loop", "0"]
    made: Arguments = [*chosen, *encoder, "-an", "-f", "webp", output]
    return await _run(ctx, animation, [*opened, *made])


def frame_rate(video: VideoStream, wanted: float | None, most: float) -> float:
    """How many frames a second to take: the source's, but not too many."""
    source = float(video.frame_rate) if video.frame_rate else most
    return wanted or min(source, most)


def _chain(ctx: Context, animation: Animation) -> str:
    """The filters; one frame above the limit tells that there are too many, and is enough."""
    chain = filter_chain(animation.clip.video, animation.frames)
    return f"{chain},trim=end_frame={ctx.limits.max_frames + 1}"


async def _run(
    ctx: Context, animation: Animation, arguments: Arguments, begin: float = 0.0, end: float = 1.0
) -> Progress:
    try:
        return await encode(ctx, arguments, animation.clip.seconds, begin=begin, end=end)
    except ProgramFailed as error:
        raise animation.clip.not_made(error) from None
