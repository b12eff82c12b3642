"""Each task of the catalogue is there, with all that clients of today send and read."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import Meta, Struct

from dragon.hints import is_union
from dragon.registry import Registry
from dragon.task import Context, File, Params, Result, TaskType, task
from tests.tasks.catalogue import CATALOGUE, Facts, Input

SOURCES = ("url", "urls", "images")
"""The only inputs that clients have to give."""

KINDS = {
    str: "string",
    int: "integer",
    float: "float",
    bool: "boolean",
    dict: "object",
    list: "object",
    tuple: "object",
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(["tasks"])


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_task_of_the_catalogue_is_there_as_listed(registry: Registry, name: str) -> None:
    assert list(missing(registry.get(name), CATALOGUE[name])) == []


def missing(task: TaskType | None, facts: Facts) -> Iterator[str]:
    """What the task lacks, in words; it may have more than is listed."""
    if task is None:
        yield "there is no such task"
        return
    fields = {field.name: field for field in msgspec.structs.fields(task.params)}
    hints = get_type_hints(task.params, include_extras=True)
    for name, input in facts.inputs.items():
        if name not in fields:
            yield f"input {name} is missing"
        else:
            yield from (f"input {name} {words}" for words in _wrong(fields[name], hints, input))
    for name, field in fields.items():
        if field.required and name not in SOURCES:
            yield f"input {name} is required"
    results = get_type_hints(task.result, include_extras=True)
    for name, type_ in facts.outputs.items():
        if name not in results:
            yield f"output {name} is missing"
        elif type_ not in (found := _kinds(results[name])):
            yield f"output {name} is {_words(found)}, not {type_}"
    for name in facts.files:
        if File not in _members(results.get(name)):
            yield f"file {name} is missing"


def _wrong(field: msgspec.structs.FieldInfo, hints: dict[str, Any], input: Input) -> Iterator[str]:
    hint = hints[field.name]
    found = _kinds(hint)
    if input.type not in found:
        yield f"is {_words(found)}, not {input.type}"
    default = None if field.required else field.default
    if (type(default), default) != (type(input.default), input.default):
        yield f"has the default {default!r}, not {input.default!r}"
    for choice in input.choices:
        try:
            msgspec.convert(choice, hint)
        except msgspec.ValidationError:
            yield f"does not take {choice!r}"


def _kinds(hint: Any) -> set[str]:
    """The catalogue's words for all that a type holds."""
    found = set()
    for member in _members(hint):
        if get_origin(member) is Literal:
            found |= {KINDS[type(value)] for value in get_args(member)}
        elif get_origin(member) is list and _kinds(get_args(member)[0]) == {"string"}:
            found |= {"list of strings", "object"}
        elif isinstance(member, type) and issubclass(member, Struct):
            found.add("object")
        elif member is not type(None):
            found.add(KINDS.get(get_origin(member) or member, str(member)))
    return found


def _members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, without what is annotated."""
    if get_origin(hint) is Annotated:
        return _members(get_args(hint)[0])
    if is_union(hint):
        return tuple(one for member in get_args(hint) for one in _members(member))
    return (hint,)


def _words(kinds: set[str]) -> str:
    return " or ".join(sorted(kinds)) or "nothing"


class SomeParams(Params, frozen=True):
    url: str
    color: str
    width: Annotated[int, Meta(ge=1)] | None = None
    crop: bool | Literal["smart"] = False
    quality: float = 75.0
    format: Literal["png", "webp"] = "png"


class Some(Result, frozen=True):
    width: int | None
    points: list[dict[str, float]]
    output: str


@task("some.task")
async def some(params: SomeParams, ctx: Context) -> Some:
    return Some(width=params.width, points=[], output="")


def test_what_a_task_lacks_is_told_in_words() -> None:
    facts = Facts(
        inputs={
            "url": Input(type="string"),
            "width": Input(type="integer"),
            "crop": Input(type="boolean", default=False),
            "height": Input(type="integer"),
            "quality": Input(type="integer", default=75),
            "format": Input(type="string", default="jpeg", choices=("jpeg", "png")),
        },
        outputs={"width": "float", "points": "object", "height": "integer"},
        files=("output",),
    )
    assert list(missing(some.__dragon_task__, facts)) == [  # type: ignore[attr-defined]
        "input height is missing",
        "input quality is float, not integer",
        "input quality has the default 75.0, not 75",
        "input format has the default 'png', not 'jpeg'",
        "input format does not take 'jpeg'",
        "input color is required",
        "output width is integer, not float",
        "output height is missing",
        "file output is missing",
    ]
    assert list(missing(None, facts)) == ["there is no such task"]
