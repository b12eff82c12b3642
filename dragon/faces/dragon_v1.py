"""The Dragon tasks API, first version: /v1/…"""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import hdrs, web

from dragon.engine.definitions import Definition, NotADefinition, read_query_definition
from dragon.engine.engine import Engine
from dragon.engine.watching import Watch
from dragon.errors import BadRequest, Problem
from dragon.http.authentication import Accounts
from dragon.http.bodies import read_body
from dragon.http.errors import raw_json_response
from dragon.http.files import base_url, choose_file, redirect_to_file
from dragon.http.idempotency import read_idempotency
from dragon.http.ndjson import Streams
from dragon.http.parameters import Parameters, task_query
from dragon.schemas import Record, Update, decode_status, encode
from dragon.settings import Account, Settings
from dragon.store.submission import Submission


class DragonV1:
    """Routes, translating in, translating out; the engine does the rest."""

    def __init__(self, settings: Settings, accounts: Accounts, engine: Engine) -> None:
        self._settings = settings
        self._accounts = accounts
        self._engine = engine
        self._streams = Streams(translate, settings.write_timeout_seconds)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/create", self.create),
            web.post("/v1/create_stream", self.create_stream),
            web.post("/v1/cancel", self.cancel),
            web.get("/v1/status", self.status),
            web.post("/v1/status", self.status),
            *(
                route
                for path in ("/v1/status_stream", "/v1/stream")
                for route in (
                    # An answer that may go on for days has no head worth waiting for.
                    web.get(path, self.status_stream, allow_head=False),
                    web.post(path, self.status_stream),
                )
            ),
            *(web.get(path, self.file) for path in _file_paths("/v1/file")),
            *(web.get(path, self.create_file_by_get) for path in _file_paths("/v1/create_file")),
            *(web.post(path, self.create_file) for path in _file_paths("/v1/create_file")),
        ]

    async def create(self, request: web.Request) -> web.Response:
        account, parameters = await self._read_creation(request)
        definitions = parameters.take_definitions(self._engine.registry, self._settings)
        is_blocking = parameters.take_block()
        parameters.check()
        submission = await self._prepare(request, account, definitions)
        run = self._engine.run if is_blocking else self._engine.submit
        return raw_json_response(_list(await run(submission)))

    async def create_stream(self, request: web.Request) -> web.StreamResponse:
        account, parameters = await self._read_creation(request)
        definitions = parameters.take_definitions(self._engine.registry, self._settings)
        parameters.check()
        submission = await self._prepare(request, account, definitions)
        return await self._streams.send(request, *await self._engine.submit_and_watch(submission))

    async def cancel(self, request: web.Request) -> web.Response:
        account, parameters = await self._read_creation(request)
        keys = parameters.take_keys("tasks", self._settings)
        parameters.check()
        return raw_json_response(_list(await self._engine.cancel(keys, account)))

    async def status(self, request: web.Request) -> web.Response:
        parameters = await self._read_parameters(request)
        keys = parameters.take_keys("tasks", self._settings)
        is_blocking = parameters.take_block()
        parameters.check()
        if is_blocking:
            return raw_json_response(_list(await self._engine.wait(keys)))
        records = await self._engine.read(keys)
        return raw_json_response(_list([record.update for record in records]))

    async def status_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.send(request, *await self._watch(request))

    async def file(self, request: web.Request) -> web.Response:
        parameters = Parameters.of_query(request)
        key = parameters.take_key()
        parameters.check()
        record = await self._engine.wait_for_record(key)
        return self._redirect(request, record, self._engine.seconds_left(record))

    async def create_file(self, request: web.Request) -> web.Response:
        account, parameters = await self._read_creation(request)
        definitions = parameters.take_definition(self._engine.registry)
        parameters.check()
        submission = await self._prepare(request, account, definitions)
        [update] = await self._engine.run(submission)
        [record] = await self._engine.read([update.key])
        return self._redirect(request, record, 0)

    async def create_file_by_get(self, request: web.Request) -> web.Response:
        account = self._accounts.authenticate(request, None)
        definition = self._read_query_definition(request)
        base_url = self._base_url(request)
        record = await self._engine.run_reusable(definition, account, base_url)
        return self._redirect(request, record, self._engine.reuse_seconds_left(record))

    async def _read_creation(self, request: web.Request) -> tuple[Account, Parameters]:
        body = await read_body(request, self._settings)
        return self._accounts.authenticate(request, body), Parameters(body, "body")

    async def _prepare(
        self, request: web.Request, account: Account, definitions: list[Definition]
    ) -> Submission:
        idempotency = await read_idempotency(request, account, self._settings)
        return self._engine.prepare(
            definitions, account, self._base_url(request), idempotency=idempotency
        )

    async def _watch(self, request: web.Request) -> tuple[Sequence[Update], Watch]:
        parameters = await self._read_parameters(request)
        keys = parameters.take_keys("tasks", self._settings)
        parameters.check()
        return await self._engine.watch(keys)

    async def _read_parameters(self, request: web.Request) -> Parameters:
        if request.method == hdrs.METH_POST:
            return Parameters(await read_body(request, self._settings), "body")
        return Parameters.of_query(request)

    def _read_query_definition(self, request: web.Request) -> Definition:
        try:
            return read_query_definition(self._engine.registry, task_query(request))
        except NotADefinition as error:
            raise BadRequest([Problem("task_name", "query", str(error))]) from None

    def _redirect(self, request: web.Request, record: Record, cache_seconds: float) -> web.Response:
        if record.update.state == "error":
            return raw_json_response(translate(record.update), 400)
        file = choose_file(record, request.match_info.get("filename", ""))
        return redirect_to_file(self._base_url(request), record.update.key, file, cache_seconds)

    def _base_url(self, request: web.Request) -> str:
        return base_url(request, self._settings)


def translate(update: Update) -> bytes:
    """A status as the first version words it: an error's message or details stand in `result`."""
    if update.state != "error":
        return update.line
    status = decode_status(update.line)
    return encode(msgspec.structs.replace(status, result=_words(status.error), error=msgspec.UNSET))


def _words(error: Any) -> Any:
    if not isinstance(error, dict) or "parameters" not in error:
        return error
    return "; ".join(
        f"{name}: {problem}"
        for name, problems in error["parameters"].items()
        for problem in problems
    )


def _list(updates: Sequence[Update]) -> bytes:
    return b"[" + b",".join(map(translate, updates)) + b"]"


def _file_paths(path: str) -> tuple[str, str, str]:
    return path, path + "/", path + "/{filename}"
