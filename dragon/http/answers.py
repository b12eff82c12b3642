"""Answers in JSON, and the forms of those that tell what is wrong."""

from typing import Any

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.errors import BadRequest, DragonError, Location, Problem, TooLarge, UnknownKeys
from dragon.schemas import encode

BUG = "an internal error, which has been logged"


class WrongRequest(Struct, frozen=True, tag_field="status", tag="error"):
    """Everything that is wrong with a request."""

    errors: list[Problem]


class Failure(Struct, frozen=True, tag_field="status", tag="error"):
    """Why there is no other answer."""

    message: str


def json_response(value: Any, status: int = 200, **headers: str) -> web.Response:
    """JSON that nobody may cache."""
    return raw_json_response(encode(value), status, **headers)


def raw_json_response(body: bytes, status: int = 200, **headers: str) -> web.Response:
    """The same of JSON that is encoded already."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store", **headers},
    )


def error_body(error: DragonError, request: web.Request) -> WrongRequest | Failure:
    if isinstance(error, BadRequest):
        return WrongRequest(error.problems)
    if isinstance(error, UnknownKeys):
        name, location = _place_of_keys(request)
        problems = [
            Problem(name, location, f"task {key[:100]!r} is unknown or has expired")
            for key in error.keys
        ]
        return WrongRequest(problems)
    if isinstance(error, TooLarge):
        return WrongRequest([Problem(*_place_of_keys(request), error.message)])
    return Failure(error.message)


def _place_of_keys(request: web.Request) -> tuple[str, Location]:
    if "key" in request.match_info:
        return "key", "path"
    if "task" in request.query:
        return "task", "query"
    return "tasks", "body" if request.method == hdrs.METH_POST else "query"
