"""JSON Schema 2020-12 of tasks and of all else that goes over HTTP, made from the types."""

import inspect
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from dragon.hints import base_of, is_optional
from dragon.task import File, Files, Media, TaskType

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def input_schema(task: TaskType) -> Schema:
    """Of the parameters of a task, without names that are the system's."""
    return whole_schema(task.params)


def output_schema(task: TaskType) -> Schema:
    """Of the result of a task as clients get it: a file is its URL, with the `x-media-type`."""
    if not is_struct(task.result):
        return whole_schema(task.result)
    hints = get_type_hints(task.result, include_extras=True)
    fields = {
        name: _url_of_file(hint) if base_of(hint) is File else hint
        for name, hint in hints.items()
        if base_of(hint) is not Files
    }
    namespace = {"__doc__": task.result.__doc__}
    name = task.result.__name__
    schema = whole_schema(msgspec.defstruct(name, list(fields.items()), namespace=namespace))
    for hint in hints.values():
        if base_of(hint) is Files:
            schema["additionalProperties"] = components([_url_of_file(hint)])[0][0]
    return schema


def whole_schema(type_: Any) -> Schema:
    """Of a type, with all that it refers to inside."""
    [schema], named = components([type_], "#/$defs/{name}")
    if reference := schema.pop("$ref", None):
        schema |= named.pop(reference.rpartition("/")[2])
    return {"$schema": DIALECT, **schema, **({"$defs": named} if named else {})}


def components(
    types: Iterable[Any], place: str = "#/components/schemas/{name}"
) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema of each type, and by name those of Structs that they refer to at `place`."""
    schemas, named = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template=place
    )
    return _tidy(schemas), _tidy(named)


def is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def words_of(struct: type) -> str:
    """Its docstring, in the words of JSON; empty without one."""
    return _words(struct.__doc__ or "")


def media_of(hint: Any) -> str:
    """What the Media of a File tells; empty without one."""
    for part in get_args(hint):
        if found := part.types if isinstance(part, Media) else media_of(part):
            return found
    return ""


def _anything(type_: type) -> Schema:
    """Of a type of a site's own, that JSON Schema has no words for, only its name."""
    return {"title": type_.__name__}


def _url_of_file(hint: Any) -> Any:
    media = media_of(hint)
    about = {"format": "uri", **({"x-media-type": media} if media else {})}
    url = Annotated[str, Meta(description="the URL of a file", extra_json_schema=about)]
    return url | None if is_optional(hint) else url


def _tidy(schema: Any) -> Any:
    """Regular expressions and words of Python become those of JSON Schema."""
    if isinstance(schema, list | tuple):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {name: _tidy(value) for name, value in schema.items()}
    if isinstance(words := tidy.get("description"), str):
        tidy["description"] = _words(words)
    if isinstance(pattern := tidy.get("pattern"), str):
        tidy["pattern"] = pattern.replace(r"\A", "^").replace(r"\Z", "$")
    if "discriminator" in tidy and "anyOf" in tidy:
        tidy["oneOf"] = tidy.pop("anyOf")
    return tidy


def _words(text: str) -> str:
    return inspect.cleandoc(text).replace("None", "null")
