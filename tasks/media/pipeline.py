"""media.pipeline: several tasks as one, each using what earlier ones made."""

import asyncio
import os
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any

from msgspec import Meta

from dragon.task import Catalogue, ChildResult, Context, Params, TaskError, TaskFailed, task
from tasks.toolkit.pipeline.references import Reference, parse, replace
from tasks.toolkit.pipeline.steps import (
    MAX_PROBLEMS,
    PIPELINE,
    Step,
    needs,
    parameters_of,
    reference_problems,
    step_problems,
)
from tasks.toolkit.together import together

Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_-]{1,64}\Z",
        description="a name of 1 to 64 letters, digits, - and _",
    ),
]

Steps = Annotated[
    dict[Name, dict[str, Any]],
    Meta(
        min_length=1,
        max_length=100,
        description="an object of 1 to 100 steps, each a definition of a task",
    ),
]

Wanted = Annotated[
    dict[Name, str],
    Meta(
        min_length=1,
        max_length=100,
        description='an object such as {"cover": "step:small/output"}',
    ),
]


class PipelineParams(Params, frozen=True):
    """`steps` are definitions of tasks, under names of your choice. Where a step's parameter is
    `step:NAME/OUTPUT`, it gets that output of the step NAME: a file as its source, or a value;
    `step:NAME` stands for a whole result. Steps run as soon as those that they use have ended,
    side by side. `result` says under which names to give which outputs; without it, all results.
    """

    steps: Steps
    result: Wanted | None = None


def check(params: PipelineParams, tasks: Catalogue) -> dict[str, list[str]]:
    """What only shows beside the other tasks and steps."""
    wanted = params.result or {}
    problems = {
        "steps": step_problems(params.steps, tasks),
        "result": (
            f"{name}: {problem}"
            for name, text in wanted.items()
            for problem in reference_problems(text, params.steps, tasks)
        ),
    }
    told = {name: list(islice(found, MAX_PROBLEMS)) for name, found in problems.items()}
    return {name: found for name, found in told.items() if found}


@task(PIPELINE, kind="flow", timeout_seconds=600, check=check)
async def pipeline(params: PipelineParams, ctx: Context) -> dict[str, Any]:
    running = Pipeline(params, ctx)
    await running.run()
    return await running.gather()


class Pipeline:
    """One run: which steps have ended, and how far the others are."""

    def __init__(self, params: PipelineParams, ctx: Context) -> None:
        self._params = params
        self._ctx = ctx
        self._ended: dict[str, ChildResult] = {}
        self._progress: dict[str, Any] = {}
        self._given: dict[str, Any] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Run all steps; raises the first error, led by the name of its step."""
        used = needs(self._params.steps)
        ends = {name: asyncio.Event() for name in used}
        self._tell()
        await together(
            self._run_step(name, [ends[one] for one in used[name]], ends[name]) for name in used
        )

    async def gather(self) -> dict[str, Any]:
        """What is wanted of the steps that have ended."""
        steps = self._params.steps
        wanted = self._params.result or {name: f"step:{name}" for name in steps}
        async with self._lock:
            for name, text in wanted.items():
                reference = parse(text)
                if reference and name not in self._given and reference.step in self._ended:
                    self._given[name] = await self._give(name, reference)
        return self._given

    async def _run_step(self, name: str, used: list[asyncio.Event], end: asyncio.Event) -> None:
        for event in used:
            await event.wait()
        try:
            self._ended[name] = await self._run_child(name, self._params.steps[name])
        except TaskError as error:
            raise type(error)(f"{name}: {error.message}") from None
        self._tell()
        end.set()
        await self._ctx.partial(await self.gather())

    async def _run_child(self, name: str, step: Step) -> ChildResult:
        def note(progress: Any) -> None:
            self._progress[name] = progress
            self._tell()

        values = replace(parameters_of(step), self._look_up)
        return await self._ctx.run(step["task_name"], on_progress=note, **values)

    def _look_up(self, reference: Reference) -> Any:
        """As a parameter: files as sources, values as they are."""
        child = self._ended[reference.step]
        if file := child.files.get(reference.output):
            return file.url
        return _value(child, reference)

    async def _give(self, name: str, reference: Reference) -> Any:
        """As part of the result: files become the pipeline's own, without being copied."""
        child = self._ended[reference.step]
        kept = child.files.get(reference.output)
        if kept is None:
            try:
                return _value(child, reference)
            except TaskFailed as error:
                raise TaskFailed(f"result: {name}: {error.message}") from None
        source = await self._ctx.fetch(kept.url)
        output = self._ctx.output(name, kept.content_type)
        os.link(source.path, output.path)
        return output

    def _tell(self) -> None:
        steps = {
            name: {"fraction": 1} if name in self._ended else self._progress.get(name)
            for name in self._params.steps
        }
        done = sum(map(_fraction, steps.values())) / len(steps)
        self._ctx.progress({"fraction": round(done, 4), "steps": steps})


def _value(child: ChildResult, reference: Reference) -> Any:
    if not reference.output:
        return child.value
    if isinstance(child.value, Mapping) and reference.output in child.value:
        return child.value[reference.output]
    names = ", ".join(f"'{name}'" for name in child.value)
    words = f"the step {reference.step!r} has no output {reference.output!r}"
    raise TaskFailed(f"{words}, choose one of: {names}")


def _fraction(progress: Any) -> float:
    told = progress.get("fraction") if isinstance(progress, Mapping) else None
    return min(max(float(told), 0.0), 1.0) if isinstance(told, int | float) else 0.0
