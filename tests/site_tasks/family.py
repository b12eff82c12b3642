"""site.*: tasks that run other tasks as children, and tell what they have so far."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from dragon.task import Context, File, Params, Result, TaskFailed, task
from tests.site_tasks.tasks import GateParams, Written


class ParentParams(Params, frozen=True, kw_only=True):
    children: list[dict[str, Any]]
    in_turn: bool = False


async def run_children(params: ParentParams, ctx: Context) -> list[Any]:
    progress: dict[int, Any] = {}

    async def run(place: int, child: dict[str, Any]) -> Any:
        def note(value: Any) -> None:
            progress[place] = value
            ctx.progress({str(place): value for place, value in progress.items()})

        values = {name: value for name, value in child.items() if name != "task_name"}
        result = await ctx.run(child["task_name"], on_progress=note, **values)
        return msgspec.to_builtins(result)

    runs = [run(place, child) for place, child in enumerate(params.children)]
    if params.in_turn:
        return [await one for one in runs]
    return await asyncio.gather(*runs)


@task("site.parent", kind="flow", timeout_seconds=1)
async def parent(params: ParentParams, ctx: Context) -> list[Any]:
    """Wait for children, far longer than it may compute itself."""
    return await run_children(params, ctx)


@task("site.fast_parent")
async def fast_parent(params: ParentParams, ctx: Context) -> list[Any]:
    """Of the wrong class."""
    return await run_children(params, ctx)


class Two(Result, frozen=True, kw_only=True):
    first: File
    second: File
    runs: int


@task("site.partial")
async def partial(params: GateParams, ctx: Context) -> Two:
    """Tell the first file, wait at the gate, and end with both."""
    path = Path(params.path)
    run = len(list(path.parent.glob(path.name + ".*.started")))
    ctx.progress("begun")
    first, second = ctx.output("first", "text/plain"), ctx.output("second", "text/plain")
    first.path.write_text(f"first of run {run}")
    await ctx.partial(Written(output=first))
    path.with_name(f"{path.name}.{run}.started").touch()
    while not path.exists():
        await asyncio.sleep(0.02)
    second.path.write_text("second")
    return Two(first=first, second=second, runs=run)


@task("site.broken_off")
async def broken_off(params: Params, ctx: Context) -> Written:
    """Tell a file, and fail."""
    first = ctx.output("first", "text/plain")
    first.path.write_text("first")
    await ctx.partial(Written(output=first))
    raise TaskFailed("it broke off")
