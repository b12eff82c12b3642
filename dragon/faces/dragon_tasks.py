"""What every version of the Dragon tasks API does with tasks: create, watch, tell, cancel."""

from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

from dragon.engine.engine import Engine
from dragon.engine.watching import Watch
from dragon.faces.version import Version
from dragon.http.authentication import Accounts
from dragon.http.bodies import read_body
from dragon.http.creation import prepare, read_creation
from dragon.http.errors import raw_json_response
from dragon.http.heartbeats import Heartbeats
from dragon.http.parameters import Parameters
from dragon.http.streams import Stream, Streams
from dragon.schemas import Update
from dragon.settings import Settings


class DragonTasks:
    """Routes, translating in, translating out; the engine does the rest."""

    def __init__(
        self,
        version: Version,
        settings: Settings,
        accounts: Accounts,
        engine: Engine,
        heartbeats: Heartbeats,
    ) -> None:
        self._version = version
        self._settings = settings
        self._accounts = accounts
        self._engine = engine
        timeout_seconds = settings.write_timeout_seconds
        self._streams = Streams(version.translate, timeout_seconds, heartbeats)

    def routes(self) -> list[web.RouteDef]:
        path = self._version.path
        return [
            web.post(path + "/create", self.create),
            web.post(path + "/create_stream", self.create_stream),
            web.post(path + "/cancel", self.cancel),
            web.get(path + "/status", self.status),
            web.post(path + "/status", self.status),
            *(
                route
                for name in ("/status_stream", "/stream")
                for route in (
                    # An answer that may go on for days has no head worth waiting for.
                    web.get(path + name, self.status_stream, allow_head=False),
                    web.post(path + name, self.status_stream),
                )
            ),
        ]

    async def create(self, request: web.Request) -> web.Response:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        definitions = parameters.take_definitions(self._engine.registry, self._settings)
        is_blocking = parameters.take_boolean("block")
        parameters.check()
        submission = await prepare(request, self._engine, self._settings, account, definitions)
        run = self._engine.run if is_blocking else self._engine.submit
        return self._list(await run(submission))

    async def create_stream(self, request: web.Request) -> web.StreamResponse:
        return await Stream.send(*await self._begin_stream(request))

    async def cancel(self, request: web.Request) -> web.Response:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        keys = parameters.take_keys("tasks", self._settings)
        parameters.check()
        return self._list(await self._engine.cancel(keys, account))

    async def status(self, request: web.Request) -> web.Response:
        parameters = await self._read_parameters(request)
        keys = parameters.take_keys("tasks", self._settings)
        is_blocking = parameters.take_boolean("block")
        detail = self._version.detail
        has_details = detail is not None and parameters.take_boolean("details")
        parameters.check()
        updates = await self._engine.wait(keys) if is_blocking else ()
        if not detail or not has_details:
            return self._list(updates or [one.update for one in await self._engine.read(keys)])
        return _list(map(detail, await self._engine.read(keys)))

    async def status_stream(self, request: web.Request) -> web.StreamResponse:
        return await Stream.send(*await self._resume_stream(request))

    # What these have read is not held by the thousands that wait for hours.

    async def _begin_stream(self, request: web.Request) -> tuple[Stream, Sequence[Update], Watch]:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        definitions = parameters.take_definitions(self._engine.registry, self._settings)
        stream = self._streams.open(request, parameters.take_heartbeat(request))
        parameters.check()
        submission = await prepare(request, self._engine, self._settings, account, definitions)
        return stream, *await self._engine.submit_and_watch(submission)

    async def _resume_stream(self, request: web.Request) -> tuple[Stream, Sequence[Update], Watch]:
        parameters = await self._read_parameters(request)
        keys = parameters.take_keys("tasks", self._settings)
        stream = self._streams.open(request, parameters.take_heartbeat(request))
        parameters.check()
        return stream, *await self._engine.watch(stream.unseen(keys))

    async def _read_parameters(self, request: web.Request) -> Parameters:
        if request.method == hdrs.METH_POST:
            return Parameters(await read_body(request, self._settings), "body")
        return Parameters.of_query(request)

    def _list(self, updates: Iterable[Update]) -> web.Response:
        return _list(map(self._version.translate, updates))


def _list(statuses: Iterable[bytes]) -> web.Response:
    return raw_json_response(b"[" + b",".join(statuses) + b"]")
