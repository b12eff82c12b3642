"""Looks into type hints, for what reads texts and words problems by them."""

import types
from typing import Annotated, Any, Union, get_args, get_origin


def base_of(hint: Any) -> Any:
    """The type under Annotated and Optional."""
    while get_origin(hint) is Annotated or is_union(hint):
        hint = get_args(hint)[0]
    return hint


def is_optional(hint: Any) -> bool:
    """Whether it may be None."""
    return is_union(hint) and type(None) in get_args(hint)


def is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)
