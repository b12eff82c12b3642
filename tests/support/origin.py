"""A web server with sources."""

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.fetching import Handler
from tests.support.paths import MEDIA


class Origin:
    """A web server with sources: the files of tests/media, and what a test adds to `bodies`.

    A name in `handlers` is answered by the test itself.
    """

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {path.name: path.read_bytes() for path in MEDIA.iterdir()}
        self.handlers: dict[str, Handler] = {}
        self.hits: list[str] = []
        app = web.Application()
        app.router.add_get("/{name}", self._serve)
        self.server = TestServer(app, host="127.0.0.1")

    def url(self, name: str) -> str:
        return str(self.server.make_url("/" + name))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        self.hits.append(name)
        if name in self.handlers:
            return await self.handlers[name](request)
        if name not in self.bodies:
            raise web.HTTPNotFound
        return web.Response(body=self.bodies[name])
