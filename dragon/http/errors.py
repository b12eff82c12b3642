"""The one place where errors become HTTP answers."""

from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.errors import (
    BadRequest,
    Conflict,
    DragonError,
    FileNotFound,
    Location,
    OverLimits,
    Problem,
    Unauthorized,
    Unavailable,
    UnknownDelivery,
    UnknownKeys,
    UnknownTask,
)
from dragon.http.events import CONTENT_TYPE, reconnect_event, wants_events
from dragon.schemas import encode

_STATUSES: dict[type[DragonError], HTTPStatus] = {
    UnknownKeys: HTTPStatus.NOT_FOUND,
    BadRequest: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    OverLimits: HTTPStatus.UNAUTHORIZED,
    FileNotFound: HTTPStatus.NOT_FOUND,
    UnknownDelivery: HTTPStatus.NOT_FOUND,
    UnknownTask: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


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


def error_response(error: DragonError, request: web.Request) -> web.Response:
    status = next(
        (status for kind, status in _STATUSES.items() if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    if isinstance(error, Unavailable) and _is_event_source(request):
        return _ask_again(error)
    headers = {}
    if isinstance(error, OverLimits | Unavailable):
        headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        headers[hdrs.WWW_AUTHENTICATE] = "Secret, Api-Key"
    return json_response(error_body(error, request), status, **headers)


def _is_event_source(request: web.Request) -> bool:
    return request.method == hdrs.METH_GET and wants_events(request)


def _ask_again(error: Unavailable) -> web.Response:
    """A browser's EventSource gives up for good at a 503, and comes back after any stream."""
    pause = b"retry: %d\n" % (error.retry_after_seconds * 1000)
    return web.Response(
        body=pause + reconnect_event(Failure(error.message)),
        content_type=CONTENT_TYPE,
        headers={hdrs.CACHE_CONTROL: "no-store"},
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
    return Failure(error.message)


def _place_of_keys(request: web.Request) -> tuple[str, Location]:
    if "key" in request.match_info:
        return "key", "path"
    if "task" in request.query:
        return "task", "query"
    return "tasks", "body" if request.method == hdrs.METH_POST else "query"


def http_error_response(error: web.HTTPException) -> web.Response:
    """An error of the HTTP library itself, such as an unknown path, in the same form."""
    headers = {}
    message = error.reason
    if isinstance(error, web.HTTPNotFound):
        message = "there is nothing at this path"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{error.method} is not allowed here, use {allowed}"
        headers[hdrs.ALLOW] = allowed
    return json_response(Failure(message), error.status, **headers)


def bug_response() -> web.Response:
    return json_response(Failure(BUG), 500)
