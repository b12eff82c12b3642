"""The one place where errors become HTTP answers."""

from http import HTTPStatus

from aiohttp import hdrs, web

from dragon.errors import (
    BadRequest,
    Conflict,
    DragonError,
    FileNotFound,
    OverLimits,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownDelivery,
    UnknownKeys,
    UnknownTask,
)
from dragon.http.answers import BUG, Failure, error_body, json_response
from dragon.http.streams.events import CONTENT_TYPE, reconnect_event, wants_events

_STATUSES: dict[type[DragonError], HTTPStatus] = {
    UnknownKeys: HTTPStatus.NOT_FOUND,
    BadRequest: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    OverLimits: HTTPStatus.UNAUTHORIZED,
    FileNotFound: HTTPStatus.NOT_FOUND,
    UnknownDelivery: HTTPStatus.NOT_FOUND,
    UnknownTask: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


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
