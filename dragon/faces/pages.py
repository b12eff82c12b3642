"""The page that a browser gets at /, the samples at /static/…, and modules to be imported."""

from importlib import resources

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.http.answers import Failure
from dragon.http.describing.routes import About, Answer, Route, told

_TYPES = {
    "index.html": "text/html",
    "portrait.jpg": "image/jpeg",
    "sample.jpg": "image/jpeg",
    "sample.mp3": "audio/mpeg",
    "sample.mp4": "video/mp4",
}
_MODULES = {
    "dragon.js": "text/javascript",
    "dragon.d.ts": "application/typescript",
    "sign.js": "text/javascript",
    "sign.d.ts": "application/typescript",
}
_FROM_ANYWHERE = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Pages:
    """Small files that ship with the server, read once."""

    def __init__(self) -> None:
        folder = resources.files("dragon.web")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _TYPES | _MODULES}

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/", self.index, INDEX),
            Route("GET", "/static/{name}", self.static, STATIC),
            *(Route("GET", f"/{name}", self.module, _about(name)) for name in _MODULES),
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
        answer = self._answer(name, _MODULES[name])
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
_SUMMARIES = {
    "dragon.js": "A module for pages: creates tasks and follows them",
    "sign.js": "A module for programs: signs the addresses of pictures",
}


def _about(name: str) -> About:
    what = "module" if name in _SUMMARIES else "types"
    return About(
        summary=_SUMMARIES.get(name, f"The types of {name.partition('.')[0]}.js, in TypeScript"),
        answers={200: Answer(f"The {what}.", {_MODULES[name]: ()}, _CACHED)},
    )
