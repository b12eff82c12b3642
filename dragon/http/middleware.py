"""What every request goes through: preflights, errors as answers, one line in the log."""

import time

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from dragon.errors import DragonError
from dragon.http.errors import bug_response, error_response, http_error_response
from dragon.http.files.placeholders import error_picture, error_picture_size

log = structlog.get_logger()


_OPEN_PATHS = ("/v1/", "/v2/", "/files/", "/placeholder/")
_PROBED_PATHS = ("/health/", "/metrics")
"""What machines ask for every few seconds: a line each would hide all others."""
_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, HEAD, POST, DELETE, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: (
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range"
    ),
    hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
}


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the handler; whatever it raises becomes an answer in the documented form."""
    began = time.perf_counter()
    response: web.StreamResponse
    try:
        if request.method == hdrs.METH_OPTIONS and request.path.startswith(_OPEN_PATHS):
            response = web.Response(status=204, headers=_PREFLIGHT)
        else:
            response = await handler(request)
    except DragonError as error:
        response = error_response(error, request)
    except web.HTTPException as error:
        response = http_error_response(error)
    except Exception:
        log.exception("request_bug", method=request.method, path=request.path)
        response = bug_response()
    if response.status >= 400 and isinstance(response, web.Response):
        size = error_picture_size(request)
        response = error_picture(response, size) if size else response
    tell = log.debug if request.path.startswith(_PROBED_PATHS) else log.info
    tell(
        "request",
        method=request.method,
        path=request.path,
        status=response.status,
        seconds=round(time.perf_counter() - began, 6),
    )
    return response


async def allow_all_origins(request: web.Request, response: web.StreamResponse) -> None:
    """No cookies are used there, so any page may read what its credentials get it."""
    if request.path.startswith(_OPEN_PATHS):
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        # Pages that isolate themselves show no picture without it, nor follow a redirect to one.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = (
            "Content-Range, Dragon-Error, ETag, Location, Retry-After"
        )


async def forbid_caching_of_errors(_: web.Request, response: web.StreamResponse) -> None:
    """Also of those that the library makes of a file which may be kept: 412 and 416."""
    if response.status >= 400:
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
