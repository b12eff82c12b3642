"""site.*: tasks that end, fail and break when a test says so."""

import asyncio
import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from dragon.task import (
    Context,
    File,
    Params,
    Result,
    SourceUrl,
    TaskFailed,
    TaskInterrupted,
    Tell,
    task,
)


class GateParams(Params, frozen=True, kw_only=True):
    path: str


@task("site.gate", timeout_seconds=300)
async def gate(params: GateParams, ctx: Context) -> str:
    """Say that it runs in `<path>.<n>.started`, and end when `<path>` exists."""
    path = Path(params.path)
    started = len(list(path.parent.glob(path.name + ".*.started")))
    path.with_name(f"{path.name}.{started}.started").touch()
    while not path.exists():
        await asyncio.sleep(0.02)
    return path.read_text() or "open"


@task("site.tidy", timeout_seconds=300)
async def tidy(params: GateParams, ctx: Context) -> str:
    """Wait to be cancelled, tidy up until the gate opens, and say in `<path>.tidied` that it is.

    A part of it fails before.
    """
    await fail_in_part()
    path = Path(params.path)
    path.with_name(path.name + ".0.started").touch()
    try:
        await asyncio.Event().wait()
    finally:
        while not path.exists():
            await asyncio.sleep(0.02)
        path.with_name(path.name + ".tidied").touch()
    return "never"


async def fail_in_part() -> None:
    """One of several that go on side by side, without which the task can do."""
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_at_once())


async def fail_at_once() -> None:
    raise TaskFailed("there is no such part")


class ToldGateParams(GateParams, frozen=True, kw_only=True):
    progress: int | dict[str, float]


@task("site.told_gate", timeout_seconds=300)
async def told_gate(params: ToldGateParams, ctx: Context) -> str:
    """Like the gate, with the progress that the test says."""
    ctx.progress(params.progress)
    return await gate(params, ctx)


@task("site.heavy_gate", kind="heavy", timeout_seconds=300)
async def heavy_gate(params: GateParams, ctx: Context) -> str:
    return await gate(params, ctx)


@task("site.gated_failure", timeout_seconds=300)
async def gated_failure(params: GateParams, ctx: Context) -> str:
    await gate(params, ctx)
    raise TaskFailed("it cannot be done")


class Written(Result, frozen=True, kw_only=True):
    output: File


@task("site.gated_file", timeout_seconds=300)
async def gated_file(params: GateParams, ctx: Context) -> Written:
    """Like the gate, and write which of the runs made the file, again and again."""
    output = ctx.output("output", "text/plain")
    path = Path(params.path)
    started = len(list(path.parent.glob(path.name + ".*.started")))
    path.with_name(f"{path.name}.{started}.started").touch()
    while not path.exists():
        await asyncio.sleep(0.02)
    output.path.write_text(f"{started}" * 100_000)
    return Written(output=output)


class SourceParams(Params, frozen=True, kw_only=True):
    url: SourceUrl


@task("site.path")
async def path(params: SourceParams, ctx: Context) -> str:
    """Where a source lies."""
    return str((await ctx.fetch(params.url)).path)


class TextParams(Params, frozen=True, kw_only=True):
    text: str


@task("site.text")
async def text(params: TextParams, ctx: Context) -> Written:
    output = ctx.output("output", "text/plain")
    output.path.write_text(params.text)
    return Written(output=output)


class StepsParams(Params, frozen=True, kw_only=True):
    steps: int


@task("site.steps")
async def steps(params: StepsParams, ctx: Context) -> int:
    """Report each step as progress."""
    for step in range(params.steps):
        ctx.progress(step)
        await asyncio.sleep(0.12)
    return params.steps


@task("site.flood")
async def flood(params: StepsParams, ctx: Context) -> int:
    """Report each step as progress, much faster than anybody can read."""
    for step in range(params.steps):
        ctx.progress(step)
        await asyncio.sleep(0.002)
    return params.steps


class NoParams(Params, frozen=True, kw_only=True):
    pass


@task("site.fail")
async def fail(params: NoParams, ctx: Context) -> str:
    raise TaskFailed("it cannot be done")


@task("site.interrupted")
async def interrupted(params: NoParams, ctx: Context) -> str:
    raise TaskInterrupted("the line went dead")


@task("site.bug")
async def bug(params: NoParams, ctx: Context) -> str:
    raise ZeroDivisionError("a secret detail")


@task("site.unwritable")
async def unwritable(params: NoParams, ctx: Context) -> dict[tuple[int, int], int]:
    """Return what no JSON can hold."""
    return {(1, 2): 3}


class SlowParams(Params, frozen=True, kw_only=True):
    has_failed_part: bool = False


@task("site.slow", timeout_seconds=0.5)
async def slow(params: SlowParams, ctx: Context) -> str:
    if params.has_failed_part:
        await fail_in_part()
    await asyncio.Event().wait()
    return "never"


@task("site.crash")
async def crash(params: NoParams, ctx: Context) -> str:
    return await ctx.isolated(crash_now)


def crash_now() -> str:
    """Runs in a decoder child."""
    ctypes.string_at(0)
    return "alive"


@task("site.spin")
async def spin(params: NoParams, ctx: Context) -> str:
    """Keep a decoder child at work for two seconds."""
    return await ctx.isolated(spin_now)


def spin_now() -> str:
    """Runs in a decoder child."""
    import time

    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        pass
    return "done"


class HoldParams(Params, frozen=True, kw_only=True):
    seconds: float = 60.0


@task("site.hold")
async def hold(params: HoldParams, ctx: Context) -> str:
    """Keep a decoder child busy; the progress is its process."""
    return await ctx.isolated(hold_now, params.seconds, ctx.progress)


def hold_now(seconds: float, tell: Tell) -> str:
    """Runs in a decoder child."""
    import time

    tell(os.getpid())
    time.sleep(seconds)
    return "held"


@task("site.timeout_error")
async def timeout_error(params: NoParams, ctx: Context) -> str:
    """An error of the task's own, that is none of the worker's limits."""
    raise TimeoutError("somebody else's")


@task("site.progress_of_no_json")
async def progress_of_no_json(params: NoParams, ctx: Context) -> str:
    ctx.progress(object())
    return "told"


@task("site.kill_worker")
async def kill_worker(params: NoParams, ctx: Context) -> str:
    """Poison: it takes the worker and all that runs there with it."""
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.Event().wait()
    return "never"
