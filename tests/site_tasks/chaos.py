"""site.*: tasks for the chaos tests, which hang and write files."""

import asyncio
import signal

from dragon.task import Context, File, Params, Result, task


class WriteParams(Params, frozen=True, kw_only=True):
    text: str
    repeats: int = 1000
    steps: int = 1


class Pages(Result, frozen=True, kw_only=True):
    output: File


@task("site.write")
async def write(params: WriteParams, ctx: Context) -> Pages:
    """Write `text` `repeats` times in each step, a fiftieth of a second for each."""
    output = ctx.output("output", "text/plain")
    with output.path.open("w") as pages:
        for step in range(params.steps):
            pages.write(params.text * params.repeats)
            pages.flush()
            ctx.progress(step)
            await asyncio.sleep(0.02)
    return Pages(output=output)


class HangParams(Params, frozen=True, kw_only=True):
    is_busy: bool


@task("site.hang", timeout_seconds=2)
async def hang(params: HangParams, ctx: Context) -> str:
    """A child that heeds no SIGTERM and does not end."""
    return await ctx.isolated(hang_now, params.is_busy)


class EncodeParams(Params, frozen=True, kw_only=True):
    pass


@task("site.encode", timeout_seconds=3)
async def encode(params: EncodeParams, ctx: Context) -> str:
    """An encode of a picture that never ends."""
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x90")
    await ctx.run_program(["ffmpeg", "-nostdin", *picture, "-c:v", "mpeg4", "-f", "null", "-"])
    return "never"


def hang_now(is_busy: bool) -> str:
    """Runs in a decoder child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        if not is_busy:
            signal.pause()
