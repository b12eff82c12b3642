"""image.gif: an animation of pictures."""

from typing import Annotated

from msgspec import Meta, Struct

from dragon.task import Context, Descriptor, File, Media, Params, Pixels, Result, Tell, task
from tasks.toolkit.colors import CLEAR, Color
from tasks.toolkit.geometry import Box, Crop, Size, check_limits
from tasks.toolkit.pictures.formats import Quality, check_fits
from tasks.toolkit.pictures.sections import COLLECTED, Urls, collect, read_sections
from tasks.toolkit.progress import Meter

Loop = Annotated[
    int,
    Meta(ge=-1, le=65_535, description="0 for ever, -1 not at all, or up to 65535 times"),
]

FrameDuration = Annotated[
    float,
    Meta(ge=0.01, le=655.35, description="a number of seconds from 0.01 to 655.35"),
]


class GifParams(Params, frozen=True):
    """`images` in order; a moving one gives its first frame.

    `loop` is how often the animation is repeated: 0 for ever, -1 not at all. `frame_duration` is
    in seconds, rounded to hundredths. What `width` and `height` leave open follows from the first
    picture. Without `crop` a picture of another shape lies in the middle of `background`, which is
    clear unless given. `quality` lowers the number of colours.
    """

    images: Urls
    loop: Loop = 0
    frame_duration: FrameDuration = 0.1
    width: Pixels | None = None
    height: Pixels | None = None
    crop: Crop = False
    background: Color = CLEAR
    quality: Quality | None = None


class Gif(Result, frozen=True):
    """`count` is that of the frames."""

    width: int
    height: int
    count: int
    output: Annotated[File, Media("image/gif")]


class Frames(Struct, frozen=True, kw_only=True):
    """How many frames there are, how large, how long each is shown, how often all are repeated."""

    size: Size
    count: int
    milliseconds: int
    loop: Loop


@task("image.gif", timeout_seconds=300)
async def gif(params: GifParams, ctx: Context) -> Gif:
    count = len(params.images)

    def check(size: Size) -> None:
        check_fits(size, "gif")
        check_limits("The animation", size, count, ctx.limits)

    box = Box(width=params.width, height=params.height, crop=params.crop)
    sections, size = await collect(ctx, params.images, box, params.background, check)
    milliseconds = round(params.frame_duration * 100) * 10
    frames = Frames(size=size, count=count, milliseconds=milliseconds, loop=params.loop)
    output = ctx.output("output", "image/gif")
    await ctx.isolated(animate, sections, output, frames, params.quality, ctx.progress)
    return Gif(width=size.width, height=size.height, count=count, output=output)


def animate(
    sections: Descriptor, output: Descriptor, frames: Frames, quality: Quality | None, tell: Tell
) -> None:
    """Runs in a decoder child."""
    from pyvips import GValue

    from tasks.toolkit.pictures import framing, saving

    image = framing.joined(read_sections(sections, frames.size, frames.count))
    image = framing.without_idle_alpha(image).copy()
    image.set_type(GValue.array_int_type, "delay", [frames.milliseconds] * frames.count)
    # libvips counts how often it is shown, not repeated; 0 is for ever there, too.
    times = 1 + max(0, frames.loop) if frames.loop else 0
    image.set_type(GValue.gint_type, "loop", times)
    meter = Meter(tell, begin=COLLECTED)
    saving.save(framing.metered(image, meter, frames.count), output, "gif", quality)
    meter.reached(1, frames=frames.count)
