"""Checks steps before any of them runs: tasks, parameters, references, circles."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, get_type_hints

from msgspec import Struct

from dragon.task import Catalogue, File, Files, TaskType
from tasks.toolkit.pipeline.references import Reference, find, parse, replace

Step = Mapping[str, Any]
"""A definition: `task_name`, and the parameters of that task."""

PIPELINE = "media.pipeline"
"""It is no step of another one: its own steps may be tasks that run others, and that is enough."""

MAX_PROBLEMS = 100
"""That are told of one parameter: a request may hold a million."""

MAX_LISTED = 20
"""Names to choose from."""

_SOME_FILE = f"dragon:{'A' * 26}/output"
_FORM = "must be step:NAME or step:NAME/OUTPUT"


def needs(steps: Mapping[str, Step]) -> dict[str, set[str]]:
    """The steps that each of them uses."""
    return {
        name: {reference.step for text in find(step) if (reference := parse(text))}
        for name, step in steps.items()
    }


def parameters_of(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.items() if name != "task_name"}


def step_problems(steps: Mapping[str, Step], tasks: Catalogue) -> Iterator[str]:
    """What is wrong with steps, each led by its place."""
    for name, step in steps.items():
        for problem in _problems(step, steps, tasks):
            yield f"{name}: {problem}"
    known = {name: used & steps.keys() for name, used in needs(steps).items()}
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        yield "they wait for each other: " + " uses ".join(reversed(error.args[1]))


def reference_problems(text: str, steps: Mapping[str, Step], tasks: Catalogue) -> Iterator[str]:
    """What is wrong with one reference."""
    reference = parse(text)
    if reference is None:
        yield f"{_FORM}, got {text[:100]!r}"
    elif reference.step not in steps:
        yield f"there is no step {reference.step!r}, choose one of: {_listed(steps)}"
    elif reference.output:
        outputs = _outputs(tasks.get(str(steps[reference.step].get("task_name"))))
        if outputs is not None and reference.output not in outputs:
            words = f"choose one of: {_listed(outputs)}" if outputs else "it has a single value"
            yield f"the step {reference.step!r} has no output {reference.output!r}, {words}"


def _problems(step: Step, steps: Mapping[str, Step], tasks: Catalogue) -> Iterator[str]:
    name = step.get("task_name")
    if name is None:
        yield "task_name is missing"
        return
    task = tasks.get(name) if isinstance(name, str) else None
    if task is None or name == PIPELINE:
        yield f"unknown task_name {str(name)[:100]!r}, choose one of: {_listed(_usable(tasks))}"
        return
    values = parameters_of(step)
    found = {
        parameter: list(
            islice(
                (one for text in find(value) for one in reference_problems(text, steps, tasks)),
                MAX_PROBLEMS,
            )
        )
        for parameter, value in values.items()
    }
    for parameter, problems in found.items():
        yield from (f"{parameter}: {problem}" for problem in problems)
    if not any(found.values()):
        yield from _parameter_problems(task, values, steps, tasks)


def _parameter_problems(
    task: TaskType, values: Mapping[str, Any], steps: Mapping[str, Step], tasks: Catalogue
) -> Iterator[str]:
    """With a file in the place of each that is to come; what else is to come is checked then."""

    def look_up(reference: Reference) -> Any:
        outputs = _outputs(tasks.get(steps[reference.step]["task_name"]))
        is_file = reference.output and (outputs is None or outputs[reference.output])
        return _SOME_FILE if is_file else None

    later = {
        name
        for name, value in values.items()
        if any(look_up(reference) is None for text in find(value) if (reference := parse(text)))
    }
    known = {name: replace(item, look_up) for name, item in values.items() if name not in later}
    problems = tasks.problems(task, known)
    for parameter, found in problems.items():
        if parameter not in later:
            yield from (f"{parameter}: {problem}" for problem in found)
    for parameter in sorted(later - set(task.params.__struct_fields__)):
        yield f"{parameter}: this parameter is unknown"


def _outputs(task: TaskType | None) -> dict[str, bool] | None:
    """Which outputs a task has, and whether each is a file; None if its parameters choose."""
    if task is None or task.result is dict or getattr(task.result, "__origin__", None) is dict:
        return None
    if not (isinstance(task.result, type) and issubclass(task.result, Struct)):
        return {}
    hints = get_type_hints(task.result)
    if Files in hints.values():
        return None
    return {name: hint in (File, File | None) for name, hint in hints.items()}


def _usable(tasks: Catalogue) -> list[str]:
    return [task.name for task in tasks if task.name != PIPELINE]


def _listed(names: Iterable[str]) -> str:
    listed = [f"'{name}'" for name in islice(names, MAX_LISTED + 1)]
    return ", ".join(listed[:MAX_LISTED]) + (", …" if len(listed) > MAX_LISTED else "")
