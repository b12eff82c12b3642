"""Chooses the format of a picture by what a client accepts, where a task was asked for `auto`."""

import functools
import operator
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, inspect

from dragon.task import Params

AUTO = "auto"
ELSEWHERE = '"auto" is for create_file alone, which chooses by what the client accepts'

_PREFERRED = ("avif", "webp")
_ALWAYS_SHOWN = ("jpeg", "png")
"""What all clients show: they need not say that they do."""


class _Places(Struct, frozen=True):
    """Where the parameters of a task name a format of pictures, and the choice there is."""

    own: tuple[str, ...]
    """Of the parameter `format`; none if there is no such parameter."""
    listed: dict[str, dict[Any, tuple[str, ...]]]
    """Of `format` in objects of lists: by parameter, then by the tag of the object."""


def choose_formats(params: type[Params], values: Mapping[str, Any], accept: str) -> dict[str, Any]:
    """By name those of the values, read from JSON, that stand otherwise once `auto` is chosen."""
    places = _places(params)
    chosen: dict[str, Any] = {}
    if places.own and values.get("format") == AUTO:
        chosen["format"] = _choose(places.own, accept)
    for name, choices in places.listed.items():
        items = values.get(name)
        if isinstance(items, list):
            found = [_choose_in(item, choices, accept) for item in items]
            if any(map(operator.is_not, found, items)):
                chosen[name] = found
    return chosen


def _choose_in(item: Any, choices: Mapping[Any, tuple[str, ...]], accept: str) -> Any:
    if not isinstance(item, dict) or item.get("format") != AUTO:
        return item
    tag = item.get("type")
    known = choices.get(tag, ()) if isinstance(tag, str) else ()
    return {**item, "format": _choose(known, accept)} if known else item


@functools.lru_cache(maxsize=100)
def _choose(choices: tuple[str, ...], accept: str) -> str:
    # Once for a list, which may have a hundred thousand objects, of a header of 8 KB.
    accepted = _read_accept(accept)
    for name in _PREFERRED:
        # Of the newer ones the client must know by name: all browsers say */* of pictures.
        if name in choices and accepted.get(f"image/{name}"):
            return name
    shown = [name for name in _ALWAYS_SHOWN if name in choices]
    return next((name for name in shown if _is_accepted(f"image/{name}", accepted)), shown[0])


def _is_accepted(content_type: str, accepted: Mapping[str, float]) -> bool:
    ranges = (content_type, "image/*", "*/*")
    return next((accepted[one] > 0 for one in ranges if one in accepted), not accepted)


def _read_accept(accept: str) -> dict[str, float]:
    """The weight of each range in the header; what cannot be read counts for nothing."""
    accepted: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = [text.strip().lower() for text in part.split(";")]
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        if name:
            accepted[name] = weight if 0 < weight <= 1 else 0.0
    return accepted


@functools.cache
def _places(params: type[Params]) -> _Places:
    own: tuple[str, ...] = ()
    listed: dict[str, dict[Any, tuple[str, ...]]] = {}
    for field in _fields(inspect.type_info(params)):
        if field.name == "format":
            own = _choices(field.type)
        elif choices := _listed_choices(field.type):
            listed[field.name] = choices
    return _Places(own, listed)


def _listed_choices(kind: inspect.Type) -> dict[Any, tuple[str, ...]]:
    """Of the objects in a list, by their tags."""
    structs = [
        struct
        for option in _options(kind)
        if isinstance(option, inspect.ListType)
        for struct in _options(option.item_type)
        if isinstance(struct, inspect.StructType)
    ]
    return {
        struct.tag: choices
        for struct in structs
        for field in struct.fields
        if field.name == "format" and (choices := _choices(field.type))
    }


def _fields(kind: inspect.Type) -> tuple[inspect.Field, ...]:
    return kind.fields if isinstance(kind, inspect.StructType) else ()


def _options(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _options(kind.type)
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _choices(kind: inspect.Type) -> tuple[str, ...]:
    """The formats of a parameter, if those of pictures are among them."""
    found = tuple(
        value
        for option in _options(kind)
        if isinstance(option, inspect.LiteralType)
        for value in option.values
        if isinstance(value, str)
    )
    return found if set(_ALWAYS_SHOWN) <= set(found) else ()
