"""Writes docs/tasks.md from the tasks' own types: `python docs/generate_tasks.py`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from dragon.hints import base_of, is_union
from dragon.registry import Registry
from dragon.task import File, Files, Params, TaskType

PAGE = Path(__file__).parent / "tasks.md"

INTRODUCTION = """\
% Written by generate_tasks.py from the tasks' types: change those, then run
% `.venv/bin/python docs/generate_tasks.py`.

# The tasks

Parameters without a default are required. Every task also takes `url_callback` and `url_errback`,
two http or https URLs; they are checked and kept, and [not called yet](guarantees.md#callbacks).

Files are named in the result: under the name of each stands its URL. [The API](api.md) tells how
tasks are created.
"""

JSON_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "list",
}


def tasks_page(registry: Registry) -> str:
    """The whole page, in Markdown."""
    return "\n".join([INTRODUCTION, *map(_section, registry)])


def _section(task: TaskType) -> str:
    head = f"Class `{task.kind}`, at most {task.timeout_seconds:g} seconds."
    summary = task.summary[:1].upper() + task.summary[1:]
    paragraphs = [f"## {task.name}", summary, head, *_inputs(task.params), *_outputs(task.result)]
    return "\n\n".join(paragraphs) + "\n"


def _inputs(params: type[Params]) -> Iterator[str]:
    yield from _document(params)
    yield _parameters(params)
    for name, hint in _own_fields(params).items():
        for struct in _structs_in(hint):
            yield f"Each value of `{name}` is an object of these:"
            yield _parameters(struct)
        if structs := _tagged_in_list(hint):
            yield f"Each of `{name}` is an object with a `type`, which says what else it may have:"
            for struct in structs:
                yield f'`"type": "{struct.__struct_config__.tag}"`'
                yield from _document(struct)
                yield from [_parameters(struct)] if _own_fields(struct) else []


def _parameters(struct: type[Struct]) -> str:
    hints = _own_fields(struct)
    defaults = {field.name: field for field in msgspec.structs.fields(struct)}
    rows = [
        (f"`{name}`", _json_type(hint), _default(defaults[name]), _allowed(hint))
        for name, hint in hints.items()
    ]
    return _table(("Parameter", "Type", "Default", "Allowed"), rows)


def _outputs(result: Any) -> Iterator[str]:
    if not (isinstance(result, type) and issubclass(result, Struct)):
        kind = _json_type(result)
        yield f"The result is {'an' if kind[0] in 'aeiou' else 'a'} {kind}."
        return
    yield "The result:"
    hints = get_type_hints(result, include_extras=True)
    yield _table(("Name", "Type"), [_output(name, hint) for name, hint in hints.items()])
    yield from _document(result)
    for name, hint in hints.items():
        for struct in _structs_in_list(hint):
            yield f"Each of `{name}`:"
            fields = get_type_hints(struct, include_extras=True)
            yield _table(("Name", "Type"), [_output(name, hint) for name, hint in fields.items()])
            yield from _document(struct)


def _output(name: str, hint: Any) -> tuple[str, str]:
    if hint is File:
        return f"`{name}`", "URL of a file"
    if hint is Files:
        return "the names that were asked for", "URL of a file each"
    words = f": {_allowed(hint)}" if get_origin(hint) is Literal else ""
    return f"`{name}`", _json_type(hint) + words + (" or null" if _is_optional(hint) else "")


def _own_fields(struct: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in Params.__struct_fields__}


def _document(struct: type) -> Iterator[str]:
    """The docstring, in the words of JSON."""
    if text := vars(struct).get("__doc__"):
        lines = text.strip().replace("None", "null").splitlines()
        yield "\n".join(line.strip() for line in lines)


def _json_type(hint: Any) -> str:
    base = base_of(hint)
    if get_origin(base) is Literal:
        base = type(get_args(base)[0])
    return JSON_TYPES[get_origin(base) or base]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "–"
    if field.default is msgspec.NODEFAULT:
        return f"`{json.dumps(field.default_factory())}`"
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def _allowed(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        for meta in get_args(hint)[1:]:
            if words := (meta.extra or {}).get("expected"):
                return str(words)
    if get_origin(hint) is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in get_args(hint))
    if _is_optional(hint):
        return _allowed(get_args(hint)[0])
    return "`true`, `false`" if hint is bool else "any"


def _structs_in(hint: Any) -> list[type[Struct]]:
    """What the values of an object are, where they are objects themselves."""
    values = get_args(base_of(hint))[1:]
    return [value for value in values if isinstance(value, type) and issubclass(value, Struct)]


def _structs_in_list(hint: Any) -> list[type[Struct]]:
    items = get_args(hint)[:1] if get_origin(hint) is list else ()
    return [item for item in items if isinstance(item, type) and issubclass(item, Struct)]


def _tagged_in_list(hint: Any) -> list[type[Struct]]:
    """What the items of a list are, where a type tells them apart."""
    items = get_args(base_of(hint))[:1] if get_origin(base_of(hint)) is list else ()
    return [one for item in items for one in get_args(item) if is_union(item)]


def _is_optional(hint: Any) -> bool:
    return is_union(hint) and type(None) in get_args(hint)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(tasks_page(Registry.load(["tasks"])), "utf-8")
