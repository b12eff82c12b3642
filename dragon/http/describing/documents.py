"""Answers that stay the same until the server is another: made once, known by their ETag."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import hdrs, web
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.http.answers import raw_json_response
from dragon.http.describing.routes import JSON, Answer
from dragon.schemas import encode

CACHE_CONTROL = "public, max-age=60"


class Known(Struct, frozen=True):
    """What a client that has the answer already sends."""

    etag: Annotated[str, Meta(description="the ETag of what is known")] | UnsetType = field(
        name="If-None-Match", default=UNSET
    )


class Document:
    """JSON of what `make` gives when it is first asked for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._body = b""
        self._tag = ""

    def answer(self, request: web.Request) -> web.Response:
        if not self._body:
            self._body = encode(self._make())
            self._tag = hashlib.sha256(self._body).hexdigest()[:32]
        is_known = any(tag.value in (self._tag, "*") for tag in request.if_none_match or ())
        response = web.Response(status=304) if is_known else raw_json_response(self._body)
        response.etag = self._tag
        response.headers[hdrs.CACHE_CONTROL] = CACHE_CONTROL
        return response


def document_answers(words: str, type_: Any) -> dict[int, Answer]:
    """Those of a document whose JSON is of that type."""
    headers = {"ETag": "of this very answer", "Cache-Control": "good for a minute"}
    return {
        200: Answer(words, {JSON: (type_,)}, headers),
        304: Answer("What is known holds.", headers=headers),
    }
