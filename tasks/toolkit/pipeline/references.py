"""References to what earlier steps gave: `step:NAME`, or `step:NAME/OUTPUT`."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

_PREFIX = "step:"
_REFERENCE = re.compile(r"\Astep:([A-Za-z0-9_-]{1,64})(?:/([A-Za-z0-9_-]{1,64}))?\Z")


class Reference(NamedTuple):
    """A step's output; its whole result if `output` is empty."""

    step: str
    output: str


def is_meant(value: Any) -> bool:
    """Whether a value is a reference, or an attempt at one."""
    return isinstance(value, str) and value.startswith(_PREFIX)


def parse(text: str) -> Reference | None:
    """None for a text that begins like a reference, and is none."""
    match = _REFERENCE.match(text)
    return Reference(match[1], match[2] or "") if match else None


def find(value: Any) -> Iterator[str]:
    """The texts of all references in a JSON value, however deep."""
    if is_meant(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find(item)


def replace(value: Any, look_up: Callable[[Reference], Any]) -> Any:
    """The value with what each reference leads to in its place."""
    if is_meant(value):
        reference = parse(value)
        return look_up(reference) if reference else value
    if isinstance(value, Mapping):
        return {name: replace(item, look_up) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace(item, look_up) for item in value]
    return value
