"""What every version of the Dragon tasks API does with tasks: create, watch, tell, cancel."""

from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.engine.engine import Engine
from dragon.engine.watch import Watch
from dragon.faces.version import Version
from dragon.http.answers import raw_json_response
from dragon.http.describing.routes import (
    CONFLICT,
    UNKNOWN_KEYS,
    WRONG,
    About,
    BodyCredentials,
    Route,
    TaskDefinitions,
    list_of,
    told,
)
from dragon.http.requests.authentication import Accounts
from dragon.http.requests.bodies import read_body
from dragon.http.requests.creation import prepare, read_creation
from dragon.http.requests.idempotency import Repeatable
from dragon.http.requests.parameters import Keys, Parameters
from dragon.http.streams.heartbeats import Heartbeats
from dragon.http.streams.streams import Stream, StreamHeaders, StreamQuery, Streams, streamed
from dragon.schemas import Key, Update
from dragon.settings import Settings


class CreateBody(BodyCredentials, frozen=True, kw_only=True):
    tasks: TaskDefinitions
    block: bool = False


class CreateStreamBody(BodyCredentials, frozen=True, kw_only=True):
    tasks: TaskDefinitions


class KeysBody(BodyCredentials, frozen=True, kw_only=True):
    tasks: Key | Keys


class StatusBody(KeysBody, frozen=True, kw_only=True):
    block: bool = False


class DetailsBody(StatusBody, frozen=True, kw_only=True):
    details: bool = False


class KeysQuery(Struct, frozen=True, kw_only=True):
    tasks: Keys


class StatusQuery(KeysQuery, frozen=True, kw_only=True):
    block: bool = False


class DetailsQuery(StatusQuery, frozen=True, kw_only=True):
    details: bool = False


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

    def routes(self) -> list[Route]:
        return [*self._creating(), *self._reading()]

    def _creating(self) -> list[Route]:
        path, status = self._version.path, self._version.status
        answers = {200: told("The statuses, in order.", list_of(status)), 400: WRONG}
        create = About(
            summary="Create tasks",
            credentials="account",
            headers=(Repeatable,),
            body=CreateBody,
            answers={**answers, 422: CONFLICT},
        )
        create_stream = About(
            summary="Create tasks, and stream their statuses",
            credentials="account",
            query=(StreamQuery,),
            headers=(Repeatable, StreamHeaders),
            body=CreateStreamBody,
            answers={**streamed(status), 400: WRONG, 422: CONFLICT},
        )
        cancel = About(
            summary="End tasks, also while they run",
            credentials="account",
            body=KeysBody,
            answers={**answers, 404: UNKNOWN_KEYS},
        )
        return [
            Route("POST", path + "/create", self.create, create),
            Route("POST", path + "/create_stream", self.create_stream, create_stream),
            Route("POST", path + "/cancel", self.cancel, cancel),
        ]

    def _reading(self) -> list[Route]:
        version, path = self._version, self._version.path
        status = version.detailed_status or version.status
        query, body = (DetailsQuery, DetailsBody) if version.detail else (StatusQuery, StatusBody)
        failures = {400: WRONG, 404: UNKNOWN_KEYS}
        answers = {200: told("The statuses, in order.", list_of(status)), **failures}
        events = {**streamed(version.status), **failures}
        words = "Tell the statuses of tasks"
        get_status = About(summary=words, query=(query,), answers=answers)
        post_status = About(summary=words, body=body, answers=answers)
        words = "Stream the statuses of tasks"
        get_stream = About(
            summary=words, query=(KeysQuery, StreamQuery), headers=(StreamHeaders,), answers=events
        )
        post_stream = About(
            summary=words,
            query=(StreamQuery,),
            headers=(StreamHeaders,),
            body=KeysBody,
            answers=events,
        )
        return [
            Route("GET", path + "/status", self.status, get_status),
            Route("POST", path + "/status", self.status, post_status),
            *(
                route
                for place in (path + "/status_stream", path + "/stream")
                for route in (
                    # An answer that may go on for days has no head worth waiting for.
                    Route("GET", place, self.status_stream, get_stream, has_head=False),
                    Route("POST", place, self.status_stream, post_stream),
                )
            ),
        ]

    async def create(self, request: web.Request) -> web.Response:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        definitions = await parameters.take_definitions(self._engine.registry, self._settings)
        is_blocking = parameters.take_boolean("block")
        parameters.check()
        submission = await prepare(request, self._engine, self._settings, account, definitions)
        run = self._engine.run if is_blocking else self._engine.submit
        updates = run(submission)
        # They are as large as the body: who waits, for hours perhaps, must not hold them.
        del parameters, definitions, submission
        return self._list(await updates)

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
        return _list(map(detail, *await self._engine.read_whole(keys)))

    async def status_stream(self, request: web.Request) -> web.StreamResponse:
        return await Stream.send(*await self._resume_stream(request))

    # What these have read is not held by the thousands that wait for hours.

    async def _begin_stream(self, request: web.Request) -> tuple[Stream, Sequence[Update], Watch]:
        account, parameters = await read_creation(request, self._accounts, self._settings)
        definitions = await parameters.take_definitions(self._engine.registry, self._settings)
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
