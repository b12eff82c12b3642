"""Reads a task's parameters out of JSON or a query string, and words every problem found."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from dragon.hints import base_of, is_union
from dragon.registry import Registry
from dragon.task import Params, Problems, TaskType

_MAX_BRACKETS = 500
"""Nothing nests deeper than it has brackets, and a thousand levels exhaust the stack."""

MAX_ITEMS = 100
"""Of a list or object, so many are looked at for problems: a message need not name a million."""

_MAX_EXACT = 2**53
"""Up to there a float is one whole number and no other."""

_TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "str": "a string",
    "array": "a list",
    "object": "an object",
}
"""Words for msgspec's names of types."""

_BOOLEANS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


def read_params(
    task: TaskType, values: Mapping[str, Any], *, is_strict: bool = True
) -> tuple[Params | None, Problems]:
    """The task's Params of JSON `values`, or every problem by parameter.

    Where it is not strict, texts may stand for numbers and the like.
    """
    return _convert(task.params, values, is_strict=is_strict)


def check_params(task: TaskType, params: Params, registry: Registry) -> Problems:
    """The problems that the task itself finds."""
    return task.check(params, _Catalogue(registry)) if task.check else {}


def parse_query_values(task: TaskType, values: Mapping[str, list[str]]) -> dict[str, Any]:
    """What the texts of a query string mean to the task, as far as that can be told."""
    hints = _hints(task.params)
    return {name: _from_texts(hints.get(name, str), texts) for name, texts in values.items()}


def parse_boolean(text: str) -> bool | None:
    """The boolean that a query string's text means, or None."""
    return _BOOLEANS.get(text.lower())


def json_or_text(text: str) -> Any:
    """JSON where a query string's text is JSON, else the text itself."""
    if text.count("[") + text.count("{") > _MAX_BRACKETS:
        return text
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return text


class _Catalogue:
    """What a task may ask of others."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __iter__(self) -> Iterator[TaskType]:
        return iter(self._registry)

    def get(self, name: str) -> TaskType | None:
        return self._registry.get(name)

    def problems(self, task: TaskType, values: Mapping[str, Any]) -> Problems:
        params, problems = read_params(task, values)
        return problems if params is None else check_params(task, params, self._registry)


@functools.cache
def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def _convert(
    params: type[Params], values: Mapping[str, Any], *, is_strict: bool
) -> tuple[Params | None, Problems]:
    try:
        return msgspec.convert(values, params, strict=is_strict), {}
    except msgspec.ValidationError:
        # In JSON 200.0 is as whole a number as 200, which is what all others write.
        values = _with_whole_numbers(values)
    try:
        return msgspec.convert(values, params, strict=is_strict), {}
    except msgspec.ValidationError as error:
        problems = _find_problems(params, values, is_strict=is_strict)
        return None, problems or {"parameters": [_reword(error)]}


def _with_whole_numbers(value: Any) -> Any:
    """Whole numbers as integers, wherever they stand inside."""
    # No comprehensions: each would take a second frame of the stack, for each level of nesting.
    if isinstance(value, dict):
        return dict(zip(value, map(_with_whole_numbers, value.values()), strict=True))
    if isinstance(value, list):
        return list(map(_with_whole_numbers, value))
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _MAX_EXACT
    return int(value) if is_whole else value


def _find_problems(
    struct: type[msgspec.Struct], values: Mapping[str, Any], *, is_strict: bool
) -> Problems:
    hints = _hints(struct)
    problems: Problems = {}
    for field in _fields(struct):
        if field.name not in values:
            if field.required:
                problems[field.name] = ["this field is required"]
        elif found := _value_problems(hints[field.name], values[field.name], is_strict=is_strict):
            problems[field.name] = found
    # A task's own parameters first, then those that every task takes.
    known = ", ".join(sorted(hints, key=lambda name: name in Params.__struct_fields__))
    words = f"this parameter is unknown, choose among: {known}"
    for name in islice((name for name in values if name not in hints), MAX_ITEMS):
        problems[name] = [words]
        # Once is enough, or a small request could get an answer of hundreds of megabytes.
        words = "this parameter is unknown"
    return problems


def _value_problems(hint: Any, value: Any, *, is_strict: bool) -> list[str]:
    try:
        msgspec.convert(value, hint, strict=is_strict)
    except msgspec.ValidationError as error:
        inner = _inner_problems(hint, value, is_strict=is_strict)
        return inner or [_expected(hint) or _reword(error)]
    return []


def _inner_problems(hint: Any, value: Any, *, is_strict: bool) -> list[str]:
    """The problems inside an object or list, each led by the name or the place it has there."""
    base = base_of(hint)
    found: Problems = {}
    if isinstance(value, Mapping) and get_origin(base) is dict:
        for name, item in islice(value.items(), MAX_ITEMS):
            for part_hint, part in zip(get_args(base), (name, item), strict=True):
                problems = _value_problems(part_hint, part, is_strict=is_strict)
                found.setdefault(name, []).extend(problems)
    elif isinstance(value, Mapping):
        found = _struct_problems(_structs(hint), value, is_strict=is_strict)
    elif isinstance(value, list) and get_origin(base) in (list, tuple):
        items = enumerate(value[:MAX_ITEMS])
        item_hint = get_args(base)[0]
        found = {
            f"[{place}]": _value_problems(item_hint, item, is_strict=is_strict)
            for place, item in items
        }
    return [f"{name}: {problem}" for name, problems in found.items() for problem in problems]


def _struct_problems(
    structs: list[type[msgspec.Struct]], value: Mapping[str, Any], *, is_strict: bool
) -> Problems:
    """The problems of an object that may be one of several, told apart by a tag."""
    if not structs:
        return {}
    field = structs[0].__struct_config__.tag_field
    if field is None:
        return _find_problems(structs[0], value, is_strict=is_strict)
    if field not in value:
        return {field: ["this field is required"]}
    for struct in structs:
        if struct.__struct_config__.tag == value[field]:
            rest = {name: item for name, item in value.items() if name != field}
            return _find_problems(struct, rest, is_strict=is_strict)
    tags = (json.dumps(struct.__struct_config__.tag) for struct in structs)
    return {field: ["must be one of: " + ", ".join(tags)]}


def _expected(hint: Any) -> str | None:
    """What would be right, as the description in a type's Meta has it."""
    if get_origin(hint) is Annotated:
        for meta in get_args(hint)[1:]:
            if isinstance(meta, msgspec.Meta) and meta.description:
                return f"must be {meta.description}"
    options = [option for option in _options(hint) if option is not type(None)]
    if len(options) == 1 and options[0] is not hint:
        return _expected(options[0])
    choices = [value for option in options for value in _literals(option)]
    if choices:
        return "must be one of: " + ", ".join(json.dumps(value) for value in choices)
    return None


def _reword(error: msgspec.ValidationError) -> str:
    """msgspec's message in words of JSON, led by the place inside the parameter if it has one."""
    message, _, path = str(error).partition(" - at `$")
    place = re.sub(r"\A\.\.\.|`\Z|\A\.", "", path)
    message = re.sub("`([^`]*)`", _in_words, message)
    return f"{place}: {message}" if place else message[:1].lower() + message[1:]


def _in_words(quoted: re.Match[str]) -> str:
    """`int | null` as an integer or null."""
    return " or ".join(_TYPES.get(name, name) for name in quoted[1].split(" | "))


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if is_union(hint) else (hint,)


def _structs(hint: Any) -> list[type[msgspec.Struct]]:
    """The structs that a hint allows."""
    if get_origin(hint) is Annotated:
        return _structs(get_args(hint)[0])
    return [
        option
        for option in _options(hint)
        if isinstance(option, type) and issubclass(option, msgspec.Struct)
    ]


def _literals(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if getattr(get_origin(hint), "_name", "") == "Literal" else ()


def _from_texts(hint: Any, texts: list[str]) -> Any:
    base = base_of(hint)
    if get_origin(base) in (list, tuple):
        return json_or_text(texts[0]) if texts[0].startswith("[") and len(texts) == 1 else texts
    if len(texts) > 1:
        return texts
    if base is bool:
        value = parse_boolean(texts[0])
        return texts[0] if value is None else value
    if literals := _literals(base):
        return next((value for value in literals if str(value) == texts[0]), texts[0])
    if base is str:
        return texts[0]
    return json_or_text(texts[0]) if texts[0].startswith("{") else texts[0]
