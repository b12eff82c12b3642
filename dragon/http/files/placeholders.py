"""Pictures that stand in for others: while these are made, and where they cannot be."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from aiohttp import hdrs, web
from msgspec import Meta, Struct

from dragon.errors import Problem
from dragon.http.answers import Failure
from dragon.http.describing.routes import About, Answer, Route, told
from dragon.schemas import WrongParameters

MAX_SIDE = 16_383
Side = Annotated[int, Meta(ge=1, le=MAX_SIDE)]
DEFAULT_SIDES = (300, 200)
MAX_WORDS = 500
CONTENT_TYPE = "image/svg+xml"
ERROR_HEADER = "Dragon-Error"

_CREATE_FILE = ("/v1/create_file", "/v2/create_file")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
_KEPT = (hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">'
    '<rect width="100%" height="100%" fill="#{2}"/></svg>'
)


class PictureSize(NamedTuple):
    """In pixels."""

    width: int
    height: int


ERROR_PICTURE = web.RequestKey("error_picture", PictureSize)
"""Set on a request whose body asks for errors as a picture of that size."""


def asked_size(values: Mapping[str, Any]) -> PictureSize:
    """The size that a task's `width` and `height` ask for; one that is not given follows."""
    default_width, default_height = DEFAULT_SIDES
    width, height = _side(values.get("width")), _side(values.get("height"))
    if not width:
        width = height * default_width // default_height if height else default_width
    if not height:
        height = width * default_height // default_width or 1
    return PictureSize(min(width, MAX_SIDE), height)


def placeholder_path(size: PictureSize) -> str:
    return f"/placeholder/{size.width}x{size.height}.svg"


def error_picture_size(request: web.Request) -> PictureSize | None:
    """Of the picture that an error of this request is to be, if it is to be one."""
    if ERROR_PICTURE in request:
        return request[ERROR_PICTURE]
    is_one = request.method != hdrs.METH_POST and request.path.startswith(_CREATE_FILE)
    is_asked_for = is_one and "image" in request.query.getall("error", ())
    return asked_size(request.query) if is_asked_for else None


def error_picture(response: web.Response, size: PictureSize) -> web.Response:
    """The picture of an error: its status, and its words in a header.

    Browsers show a picture whatever the status is, and caches and programs go by the status.
    """
    headers: dict[str, str] = {
        name: response.headers[name] for name in _KEPT if name in response.headers
    }
    headers[hdrs.CACHE_CONTROL] = "no-store"
    headers[ERROR_HEADER] = _header_words(response.body)
    return _picture(size, "f4d9d6", response.status, headers)


class Placeholders:
    """`/placeholder/300x200.svg`: a plain grey picture of any size."""

    def routes(self) -> list[Route]:
        path = r"/placeholder/{width:\d+}x{height:\d+}.svg"
        return [Route("GET", path, self.serve, PLACEHOLDER_PICTURE)]

    async def serve(self, request: web.Request) -> web.Response:
        size = PictureSize(*(_side(request.match_info[name]) for name in ("width", "height")))
        if not all(size):
            raise web.HTTPNotFound
        return _picture(size, "e3e3e3", 200, {hdrs.CACHE_CONTROL: "public, max-age=86400"})


def pictured(answer: Answer) -> Answer:
    """An answer that is a picture for who wants its errors so."""
    return Answer(
        answer.words,
        {**answer.content, CONTENT_TYPE: ()},
        {**answer.headers, ERROR_HEADER: "of a picture, what is wrong"},
    )


class Sides(Struct, frozen=True, kw_only=True):
    width: Side
    height: Side


PLACEHOLDER_PICTURE = About(
    summary="A plain picture of that size",
    path=Sides,
    answers={
        200: Answer("The picture.", {CONTENT_TYPE: ()}, {"Cache-Control": "good for a day"}),
        404: told("There is none of that size.", Failure),
    },
)


def _picture(
    size: PictureSize, color: str, status: int, headers: Mapping[str, str]
) -> web.Response:
    text = _PICTURE.format(size.width, size.height, color)
    return web.Response(
        text=text, status=status, content_type=CONTENT_TYPE, headers={**_SAFE, **headers}
    )


def _side(value: Any) -> int:
    """0 for what is none."""
    text = str(value) if isinstance(value, int | str) else ""
    return side if _NUMBER.fullmatch(text) and (side := int(text)) <= MAX_SIDE else 0


def _header_words(body: Any) -> str:
    """What an answer says in one line of ASCII."""
    try:
        answer = msgspec.json.decode(body, type=_Words)
    except (msgspec.DecodeError, TypeError):
        return ""
    problems = "; ".join(problem.description for problem in answer.errors)
    words = problems or answer.message or str(answer.error or answer.result)
    # A header with other than these is refused by who sends it, and then there is no answer.
    shown = "".join(letter if letter.isprintable() else " " for letter in words[:MAX_WORDS])
    return " ".join(shown.split()).encode("ascii", "backslashreplace").decode()


class _Words(Struct, frozen=True):
    """Where an answer has its words, one way or another."""

    errors: list[Problem] = []
    message: str = ""
    error: str | WrongParameters = ""
    result: Any = ""
