"""Routes that tell what they take and what they answer: the OpenAPI document is made of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from msgspec import UNSET, Meta, Struct, UnsetType

from dragon.http.answers import Failure, WrongRequest

Credentials = Literal["none", "account", "secret"]
"""Those of an account, by api key too; or its secret alone."""

JSON = "application/json"

TASK_DEFINITION = "TaskDefinition"
"""The schema of a task with its parameters, one of those that a site has."""

_REFERENCE = {"$ref": f"#/components/schemas/{TASK_DEFINITION}"}

TaskDefinition = Annotated[Any, Meta(extra_json_schema=_REFERENCE)]

TaskDefinitions = Annotated[
    Any,
    Meta(
        description="one, or a list",
        extra_json_schema={
            "anyOf": [_REFERENCE, {"type": "array", "items": _REFERENCE, "minItems": 1}]
        },
    ),
]

FILE_DEFINITION = "FileDefinition"
"""The schema of the same where a file is wanted."""

FileDefinition = Annotated[
    Any, Meta(extra_json_schema={"$ref": f"#/components/schemas/{FILE_DEFINITION}"})
]

WITH_AUTO_FORMAT = {
    "anyOf": [
        _REFERENCE,
        {
            "description": "with the format of the picture chosen by what the client accepts",
            "type": "object",
            "properties": {"task_name": {"type": "string"}, "format": {"const": "auto"}},
            "required": ["task_name", "format"],
        },
    ]
}


class BodyCredentials(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any JSON body may have them; the header wins."""

    secret: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET


class Answer(Struct, frozen=True):
    """When a status is answered, the types its content may have by media type, and its headers.

    Of lines, such as those of a stream, the types are those of one line.
    """

    words: str
    content: Mapping[str, tuple[Any, ...]] = {}
    headers: Mapping[str, str] = {}


class About(Struct, frozen=True, kw_only=True):
    """What a route is for. The fields of `path`, `query` and `headers` are parameters.

    Answers that any route may give need not be told, see `Route.answers`.
    """

    summary: str
    credentials: Credentials = "none"
    path: type[Struct] | None = None
    query: tuple[type[Struct], ...] = ()
    headers: tuple[type[Struct], ...] = ()
    body: type[Struct] | None = None
    is_body_required: bool = True
    answers: Mapping[int, Answer]


class Route(web.AbstractRouteDef):
    """A method and path with its handler, and what there is to tell about it."""

    def __init__(
        self, method: str, path: str, handler: Handler, about: About, *, has_head: bool = True
    ) -> None:
        self.method = method
        self.path = path
        self.about = about
        options = {"allow_head": has_head} if method == hdrs.METH_GET else {}
        self._definition = web.RouteDef(method, path, handler, options)

    def register(self, router: web.UrlDispatcher) -> list[web.AbstractRoute]:
        return self._definition.register(router)

    @property
    def answers(self) -> dict[int, Answer]:
        """What it answers, by status, in order."""
        every = {500: BUG, 503: UNAVAILABLE}
        unauthorized = {} if self.about.credentials == "none" else {401: UNAUTHORIZED}
        return dict(sorted({**every, **unauthorized, **self.about.answers}.items()))


class Face(Protocol):
    """What has routes."""

    def routes(self) -> list[Route]: ...


def told(words: str, *types: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON, of one of the types."""
    return Answer(words, {JSON: types}, headers or {})


def list_of(type_: Any) -> Any:
    return list[type_]


WRONG = told("The request is wrong.", WrongRequest)
UNAUTHORIZED = told(
    "The credentials are missing or wrong, the page is not listed, or the account is over a limit.",
    Failure,
    headers={
        "Retry-After": "with a limit, when to try again, in seconds",
        "WWW-Authenticate": "otherwise, how to give credentials",
    },
)
UNKNOWN_KEYS = told("Some keys do not exist, or have expired.", WrongRequest)
CONFLICT = told("Another request was made with this Idempotency-Key.", Failure)
UNAVAILABLE = told(
    "The store or the server cannot answer now.",
    Failure,
    headers={"Retry-After": "when to try again, in seconds"},
)
BUG = told("A bug, which has been logged.", Failure)
