"""The page that a browser gets at /, the samples at /static/… and the module for other pages."""

from importlib import resources

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.http.errors import Failure
from dragon.http.routes import About, Answer, Route, told

_TYPES = {
    "index.html": "text/html",
    "portrait.jpg": "image/jpeg",
    "sample.jpg": "image/jpeg",
    "sample.mp3": "audio/mpeg",
    "sample.mp4": "video/mp4",
}
_MODULE = {
    "dragon.js": "text/javascript",
    "dragon.d.ts": "application/typescript",
}
_FROM_ANYWHERE = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Pages:
    """Small files that ship with the server, read once."""

    def __init__(self) -> None:
        folder = resources.files("dragon.web")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _TYPES | _MODULE}

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/", self.index, INDEX),
            Route("GET", "/static/{name}", self.static, STATIC),
            Route("GET", "/dragon.js", self.module, MODULE),
            Route("GET", "/dragon.d.ts", self.module, TYPES),
        ]

    async def index(self, _: web.Request) -> web.Response:
        return self._answer("index.html", _TYPES["index.html"])

    async def static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _TYPES:
            raise web.HTTPNotFound
        return self._answer(name, _TYPES[name])

    async def module(self, request: web.Request) -> web.Response:
        """Pages of other origins import it: what a browser then asks for must be allowed to all."""
        name = request.path.removeprefix("/")
        answer = self._answer(name, _MODULE[name])
        answer.headers.update(_FROM_ANYWHERE)
        return answer

    def _answer(self, name: str, content_type: str) -> web.Response:
        return web.Response(
            body=self._files[name],
            content_type=content_type,
            charset=None if content_type.startswith(("image/", "audio/", "video/")) else "utf-8",
            headers={hdrs.CACHE_CONTROL: "public, max-age=3600"},
        )


class Name(Struct, frozen=True):
    name: str


_CACHED = {"Cache-Control": "good for an hour"}

INDEX = About(
    summary="A page for browsers",
    answers={200: Answer("The page.", {"text/html": ()}, _CACHED)},
)
STATIC = About(
    summary="What the page shows",
    path=Name,
    answers={
        200: Answer("The file.", dict.fromkeys(sorted({*_TYPES.values()}), ()), _CACHED),
        404: told("There is no such file.", Failure),
    },
)
MODULE = About(
    summary="A module for pages: creates tasks and follows them",
    answers={200: Answer("The module.", {_MODULE["dragon.js"]: ()}, _CACHED)},
)
TYPES = About(
    summary="Its types, in TypeScript",
    answers={200: Answer("The types.", {_MODULE["dragon.d.ts"]: ()}, _CACHED)},
)
