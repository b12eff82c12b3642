"""Reads request bodies as JSON objects and refuses, in words, whatever is not one."""

import asyncio
import codecs
import json
from itertools import accumulate
from typing import Any, NoReturn

from aiohttp import hdrs, web

from dragon.errors import BadRequest, Problem
from dragon.settings import Settings

_MAX_INTEGER = 2**63


class _Refused(ValueError):
    """A value that JSON has no place for, or that we could not pass on."""


async def read_body(request: web.Request, settings: Settings) -> dict[str, Any]:
    """The object in the body, whatever its Content-Type says: browsers post JSON as text/plain.

    Raises BadRequest naming `body`.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        _refuse("the body must not be compressed: send it without Content-Encoding")
    try:
        if request.content.is_eof():
            text = await request.read()
        else:
            async with asyncio.timeout(settings.read_timeout_seconds):
                text = await request.read()
    except TimeoutError:
        _refuse(f"the body took longer than {settings.read_timeout_seconds:g} seconds to come")
    except web.HTTPRequestEntityTooLarge:
        _refuse(f"the body is larger than {settings.max_body_bytes} bytes (max_body_bytes)")
    except web.RequestPayloadError:
        _refuse("the body could not be read: it is cut short or wrongly encoded")
    return parse_object(text, settings.max_body_depth)


def parse_object(text: bytes, max_depth: int) -> dict[str, Any]:
    """A JSON object without duplicate keys, NaN, lone surrogates or numbers beyond 64 bits."""
    if not text.strip():
        _refuse("the body is empty, a JSON object is expected")
    try:
        value = _DECODER.decode(text.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        _refuse(f"the body is not UTF-8: byte {error.start} is wrong")
    except RecursionError:
        _refuse(f"the body is nested more than {max_depth} levels deep (max_body_depth)")
    except json.JSONDecodeError as error:
        _refuse(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError as error:
        words = str(error) if isinstance(error, _Refused) else "a number is too large"
        _refuse(f"the body is not acceptable: {words}")
    if not isinstance(value, dict):
        _refuse("the body must be a JSON object")
    # No text can nest deeper than it has opening brackets: most need no walk.
    if text.count(b"[") + text.count(b"{") > max_depth:
        _check_depth(text, max_depth)
    if b"\\u" in text:
        _check_surrogates(value)
    return value


def _refuse(description: str) -> NoReturn:
    raise BadRequest([Problem("body", "body", description)]) from None


def _check_depth(text: bytes, max_depth: int) -> None:
    # By the text, for a walk through a million values would keep all others waiting.
    quoted = text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
    steps = b"".join(quoted[::2]).translate(_STEPS, _NO_BRACKETS)
    if max(accumulate(memoryview(steps).cast("b"))) > max_depth:
        _refuse(f"the body is nested more than {max_depth} levels deep (max_body_depth)")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _refuse("the body is not acceptable: it has half of a surrogate pair")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Refused(f"the key {name[:100]!r} is given twice")
            seen.add(name)
    return value


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else _MAX_INTEGER
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise _Refused(f"the number {text[:20]}… does not fit into 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused(f"the number {text[:20]} is too large")
    return value


def _constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is not JSON")


_STEPS = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))
"""Into a level and out of it, as signed bytes."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
