"""Writes docs/tasks.md from the tasks' own types and one example of each.

`python docs/generate_tasks.py`; `python -m tests.examples` runs the examples anew.
"""

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from dragon.hints import base_of, is_optional, is_union
from dragon.json_schema import is_struct, media_of, words_of
from dragon.registry import Registry
from dragon.task import File, Files, Params, TaskType

PAGE = Path(__file__).parent / "tasks.md"
EXAMPLES = Path(__file__).parent / "examples" / "tasks.json"
"""By the name of a task: a `definition`, and the `result` that it had."""

COLUMNS = 96

INTRODUCTION = """\
% Written by generate_tasks.py from the tasks' types: change those, then run
% `.venv/bin/python docs/generate_tasks.py`.

# The tasks

Parameters without a default are required. Every task also takes `url_callback` and `url_errback`,
two http or https URLs that are [told its end](webhooks.md).

Files are named in the result: under the name of each stands its URL. [The API](api.md) tells how
tasks are created.

Each task has an example that runs as it stands, once `make run` has printed a secret:

```sh
SECRET='what make run printed'
```

The samples that the examples use are shown on <http://127.0.0.1:8080>.
"""

JSON_TYPES = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "list",
    tuple: "list",
}


def tasks_page(registry: Registry) -> str:
    """The whole page, in Markdown."""
    examples = json.loads(EXAMPLES.read_text("utf-8"))
    sections = [_section(task, examples.get(task.name)) for task in registry]
    return "\n".join([INTRODUCTION, _overview(registry), "", *sections])


def _overview(registry: Registry) -> str:
    """All tasks at a glance."""
    rows = []
    for task in registry:
        values, files = _named(task.result)
        link = f"[{task.name}](#{task.name.replace('.', '-')})"
        rows.append((link, _sentence(task.summary), f"`{task.kind}`", values, files))
    return _table(("Task", "What it does", "Class", "Values", "Files"), rows)


def _named(result: Any) -> tuple[str, str]:
    """The names of a result's values, and of its files."""
    if not is_struct(result):
        return _with_article(_json_type(result)), "–"
    hints = get_type_hints(result, include_extras=True)
    files = [name for name, hint in hints.items() if base_of(hint) is File]
    values = [name for name, hint in hints.items() if base_of(hint) not in (File, Files)]
    chosen = "as asked" if Files in map(base_of, hints.values()) else "–"
    file_words = [f"`{name}`" for name in files] or [chosen]
    return ", ".join(f"`{name}`" for name in values) or "–", ", ".join(file_words)


def _section(task: TaskType, example: dict[str, Any] | None) -> str:
    head = f"Class `{task.kind}`, at most {task.timeout_seconds:g} seconds."
    paragraphs = [f"## {task.name}", _sentence(task.summary), head]
    paragraphs += [*_inputs(task.params), *_outputs(task.result)]
    if example:
        paragraphs += _example(example)
    return "\n\n".join(paragraphs) + "\n"


def _sentence(summary: str) -> str:
    return summary[:1].upper() + summary[1:]


def _example(example: dict[str, Any]) -> Iterator[str]:
    """A line for the shell, and what it answers with."""
    body = json.dumps({"tasks": example["definition"], "block": True}, ensure_ascii=False)
    yield (
        '```sh\ncurl -sS -H "Authorization: Secret $SECRET" http://127.0.0.1:8080/v2/create '
        f"\\\n  -d '{body}'\n```"
    )
    yield f"ends with the result\n\n```json\n{_pretty(example['result'])}\n```"


def _pretty(value: Any, indent: str = "") -> str:
    """JSON in as few lines as are still easy to read."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) < COLUMNS or not isinstance(value, dict | list):
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(name)}: {_pretty(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if all(isinstance(one, int | float) for one in value):
        lines = textwrap.wrap(flat[1:-1], COLUMNS - len(inner))
        return "[\n" + "\n".join(inner + line for line in lines) + f"\n{indent}]"
    return "[\n" + ",\n".join(inner + _pretty(one, inner) for one in value) + f"\n{indent}]"


def _inputs(params: type[Params]) -> Iterator[str]:
    yield from _document(params)
    yield _parameters(params)
    for name, hint in _own_fields(params).items():
        for struct in _structs_in(hint):
            yield f"Each value of `{name}` is an object of these:"
            yield _parameters(struct)
        structs = _structs_in_union(hint)
        if structs and not structs[0].__struct_config__.tag:
            yield f"Each of `{name}` may be an object of these:"
            yield from map(_parameters, structs)
        elif structs:
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
    if not is_struct(result):
        yield f"The result is {_with_article(_json_type(result))}."
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
    if base_of(hint) is File:
        return f"`{name}`", _file(hint) + (" or null" if is_optional(hint) else "")
    if base_of(hint) is Files:
        return "the names that were asked for", _file(hint) + " each"
    words = f": {_allowed(hint)}" if get_origin(hint) is Literal else ""
    return f"`{name}`", _json_type(hint) + words + (" or null" if is_optional(hint) else "")


def _file(hint: Any) -> str:
    media = media_of(hint)
    return f"URL of a file (`{media}`)" if media else "URL of a file"


def _own_fields(struct: type[Struct]) -> dict[str, Any]:
    hints = get_type_hints(struct, include_extras=True)
    return {name: hint for name, hint in hints.items() if name not in Params.__struct_fields__}


def _document(struct: type) -> Iterator[str]:
    if words := words_of(struct):
        yield words


def _json_type(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        return _json_type(get_args(hint)[0])
    if is_union(hint):
        options = [option for option in get_args(hint) if option is not type(None)]
        return " or ".join(dict.fromkeys(map(_json_type, options)))
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    return JSON_TYPES[get_origin(hint) or hint]


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "–"
    if field.default is msgspec.NODEFAULT:
        return f"`{json.dumps(field.default_factory())}`"
    return "none" if field.default is None else f"`{json.dumps(field.default)}`"


def _allowed(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        for meta in get_args(hint)[1:]:
            if words := meta.description or _bounds(meta):
                return words
    if get_origin(hint) is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in get_args(hint))
    if is_optional(hint):
        return _allowed(get_args(hint)[0])
    return "`true`, `false`" if hint is bool else "any"


def _bounds(meta: msgspec.Meta) -> str:
    """Where nothing else is told: `0 to 51`, `at least 1`."""
    if meta.ge is None:
        return ""
    return f"at least {meta.ge}" if meta.le is None else f"{meta.ge} to {meta.le}"


def _structs_in(hint: Any) -> list[type[Struct]]:
    """What the values of an object are, where they are objects themselves."""
    values = get_args(base_of(hint))[1:]
    return [value for value in values if is_struct(value)]


def _structs_in_list(hint: Any) -> list[type[Struct]]:
    items = get_args(hint)[:1] if get_origin(hint) is list else ()
    return [item for item in items if is_struct(item)]


def _structs_in_union(hint: Any) -> list[type[Struct]]:
    """What the items of a list may be, where they may be several things."""
    items = get_args(base_of(hint))[:1] if get_origin(base_of(hint)) is list else ()
    options = [one for item in items if is_union(item) for one in get_args(item)]
    return [one for one in options if is_struct(one)]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    PAGE.write_text(tasks_page(Registry.load(["tasks"])), "utf-8")
