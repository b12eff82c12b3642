"""The page that a browser gets at /, and the samples at /static/…"""

from importlib import resources

from aiohttp import hdrs, web

_TYPES = {
    "index.html": "text/html",
    "portrait.jpg": "image/jpeg",
    "sample.jpg": "image/jpeg",
    "sample.mp3": "audio/mpeg",
    "sample.mp4": "video/mp4",
}


class Pages:
    """Small files that ship with the server, read once."""

    def __init__(self) -> None:
        folder = resources.files("dragon.web")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _TYPES}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/static/{name}", self.static),
        ]

    async def index(self, _: web.Request) -> web.Response:
        return self._page("index.html")

    async def static(self, request: web.Request) -> web.Response:
        return self._page(request.match_info["name"])

    def _page(self, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(
            body=self._files[name],
            content_type=_TYPES[name],
            charset="utf-8" if name.endswith(".html") else None,
            headers={hdrs.CACHE_CONTROL: "public, max-age=3600"},
        )
