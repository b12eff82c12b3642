"""Reads task definitions as clients write them: system keys apart from parameters."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from dragon.errors import UnknownTask
from dragon.formats import ELSEWHERE, choose_formats
from dragon.params import MAX_ITEMS, check_params, json_or_text, parse_query_values, read_params
from dragon.registry import Registry
from dragon.task import HttpUrl, Params, Problems, TaskType


class TaskStore(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where outputs are kept: until the retention time, for a week at most, or at a URL.

    A `url` is given for `s3_signed`, and for nothing else.
    """

    type: Literal["persistent", "volatile", "s3_signed"] = "persistent"
    url: HttpUrl | None = None

    @property
    def is_sound(self) -> bool:
        """There is a URL where one is needed, and nowhere else."""
        return (self.type == "s3_signed") == bool(self.url)


SoundStore = Annotated[
    TaskStore,
    Meta(
        extra_json_schema={
            "if": {"properties": {"type": {"const": "s3_signed"}}, "required": ["type"]},
            "then": {"properties": {"url": {"type": "string"}}, "required": ["url"]},
            "else": {"properties": {"url": {"type": "null"}}},
        }
    ),
]
"""One that `is_sound`, as JSON Schema says it."""

_SYSTEM_NAMES = ("task_name", "task_metas", "task_store")

_STORES = (
    'must be {"type": "persistent"}, {"type": "volatile"} or {"type": "s3_signed", "url": URL}'
)


class Definition(Struct, frozen=True, kw_only=True):
    """One task to run. `params` is None where `problems` says what is wrong with them."""

    task: TaskType
    params: Params | None
    problems: Problems
    metas: Any = None
    store: TaskStore = TaskStore()
    url_callback: str | None = None
    url_errback: str | None = None
    """Where wrong parameters are told too, unless it is wrong itself."""
    is_negotiated: bool = False
    """Whether another client would get another format."""


class NotADefinition(Exception):
    """There is no task to answer for: the whole request is refused, with these words."""


def read_definition(registry: Registry, value: Any, accept: str | None = None) -> Definition:
    """The definition that a JSON value holds; raises NotADefinition.

    With `accept`, the header of that name, a format may be `auto`.
    """
    if not isinstance(value, dict):
        raise NotADefinition("a task definition must be an object")
    return _read(registry, value, accept)


def read_query_definition(
    registry: Registry, values: Mapping[str, list[str]], accept: str | None = None
) -> Definition:
    """The same of what a query string holds."""
    systems = {name: json_or_text(texts[0]) for name, texts in values.items() if _is_system(name)}
    return _read(registry, {**values, **systems}, accept, parse_query_values)


def _read(
    registry: Registry,
    values: Mapping[str, Any],
    accept: str | None,
    parse: Callable[[TaskType, Mapping[str, Any]], dict[str, Any]] | None = None,
) -> Definition:
    task = _find_task(registry, values)
    own = {name: value for name, value in values.items() if not _is_system(name)}
    own = parse(task, own) if parse else own
    chosen = choose_formats(task.params, own, accept or "")
    known = own if accept is None else own | chosen
    params, problems = read_params(task, known, is_strict=parse is None)
    if accept is None:
        problems |= {name: [ELSEWHERE] for name in chosen}
    if params is not None:
        problems |= check_params(task, params, registry)
    store = _read_store(values.get("task_store", {}))
    if store is None:
        problems["task_store"] = [_STORES]
    strange = (name for name in values if _is_system(name) and name not in _SYSTEM_NAMES)
    for name in islice(strange, MAX_ITEMS):
        problems[name] = ["names that start with task_ are the system's, and this is none"]
    return Definition(
        task=task,
        params=None if problems else params,
        problems=problems,
        metas=values.get("task_metas"),
        store=store or TaskStore(),
        url_callback=params.url_callback if params else None,
        url_errback=params.url_errback if params else _errback(task, own, is_strict=parse is None),
        is_negotiated=bool(chosen),
    )


def _errback(task: TaskType, values: Mapping[str, Any], *, is_strict: bool) -> str | None:
    """The only parameter that counts where others are wrong."""
    address = values.get("url_errback")
    # Of what is no text there may be a million parts, and all would be looked at.
    alone = {"url_errback": address} if isinstance(address, str) else {}
    params, _ = read_params(
        msgspec.structs.replace(task, params=Params), alone, is_strict=is_strict
    )
    return params.url_errback if params else None


def _read_store(value: Any) -> TaskStore | None:
    try:
        store = msgspec.convert(value, TaskStore)
    except msgspec.ValidationError:
        return None
    return store if store.is_sound else None


def _find_task(registry: Registry, values: Mapping[str, Any]) -> TaskType:
    name = values.get("task_name")
    if name is None:
        raise NotADefinition("task_name is missing")
    if not isinstance(name, str):
        raise NotADefinition("task_name must be a string")
    try:
        return registry.find(name)
    except UnknownTask as error:
        raise NotADefinition(error.message) from None


def _is_system(name: str) -> bool:
    return name.startswith("task_")
