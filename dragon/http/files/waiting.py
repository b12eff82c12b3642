"""How long a request waits for its file, and what it gets when that is not there yet."""

import re
from typing import Annotated, Literal

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, Struct, UnsetType

from dragon.http.answers import Failure, json_response
from dragon.http.describing.routes import UNAVAILABLE, Answer, told
from dragon.http.files.files import REDIRECTED
from dragon.http.files.placeholders import PictureSize, placeholder_path
from dragon.http.requests.authentication import Caller
from dragon.http.requests.parameters import Parameters
from dragon.schemas import Key
from dragon.settings import Settings

RETRY_SECONDS = 2
PLACEHOLDER, ERROR = "placeholder", "error"

_PORT = r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = rf"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?(?::{_PORT})?"
_URL = re.compile(rf"[Hh][Tt][Tt][Pp][Ss]?://{_HOST}(?:[/?#][!-\[\]-~]{{0,8000}})?")
"""Plain, and in ASCII: browsers read others by rules of their own, which no check would know."""

Wait = Annotated[
    float,
    Meta(ge=0, description="for so many seconds at most, up to max_wait_seconds"),
]
Fallback = Annotated[
    str,
    Meta(
        pattern=rf"\A({PLACEHOLDER}|{ERROR}|{_URL.pattern})\Z",
        description="what is answered when the task has not ended then: placeholder, error, or "
        "a redirect to this URL, which with an api key must be on its list",
    ),
]
ErrorAs = Annotated[Literal["image", "json"], Meta(description="how errors are answered")]


class WaitingQuery(Struct, frozen=True, kw_only=True):
    wait: Wait | UnsetType = UNSET
    fallback: Fallback | UnsetType = UNSET
    error: ErrorAs = "json"


class NotReady(Struct, frozen=True, tag_field="status", tag="error"):
    """The task goes on, and can be asked for by its key."""

    message: str
    key: Key


REDIRECTED_ELSEWHERE = Answer(
    "To the file, or to the store that has it; or to the fallback, as it is not there yet.",
    headers={
        **REDIRECTED.headers,
        "Retry-After": "of a fallback, when to try again, in seconds",
        "Vary": "Accept, where the format was chosen by it",
    },
)
NOT_READY = told(
    "The store or the server cannot answer now; or the task has not ended in time.",
    Failure,
    NotReady,
    headers=UNAVAILABLE.headers,
)


class Waiting(Struct, frozen=True, kw_only=True):
    """`seconds` is None for as long as it takes; `fallback` is `placeholder`, `error` or a URL."""

    seconds: float | None
    fallback: str


def take_waiting(parameters: Parameters, caller: Caller, settings: Settings) -> Waiting:
    """What `wait` and `fallback` say; also checks `error`."""
    seconds = parameters.take_seconds("wait", settings.max_wait_seconds)
    fallback = parameters.take_string("fallback") or ERROR
    if parameters.take_string("error") not in (None, "image", "json"):
        parameters.note("error", "error must be image or json")
    if fallback not in (PLACEHOLDER, ERROR):
        if not _URL.fullmatch(fallback):
            words = "must be placeholder, error or an http or https URL in ASCII"
            parameters.note("fallback", f"fallback {words}")
        # Whoever has read the key in a page could send others anywhere in our name.
        elif caller.rules and not caller.rules.allows(fallback, None):
            words = "must be a URL on the api key's list of referrers, placeholder or error"
            parameters.note("fallback", f"fallback {words}")
    if seconds is None and fallback != ERROR:
        seconds = min(settings.wait_seconds, settings.max_wait_seconds)
    return Waiting(seconds=seconds, fallback=fallback)


def not_ready(waiting: Waiting, key: str, base_url: str, size: PictureSize) -> web.Response:
    """What a request gets whose task goes on."""
    retry_after = {hdrs.RETRY_AFTER: str(RETRY_SECONDS)}
    if waiting.fallback == ERROR:
        words = f"the task has not ended in {waiting.seconds:g} seconds, and goes on"
        return json_response(NotReady(message=words, key=key), 503, **retry_after)
    is_placeholder = waiting.fallback == PLACEHOLDER
    location = base_url + placeholder_path(size) if is_placeholder else waiting.fallback
    headers = {hdrs.LOCATION: location, hdrs.CACHE_CONTROL: "no-store", **retry_after}
    return web.Response(status=302, headers=headers)
