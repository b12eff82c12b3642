"""Reads requests for the file of a new task: who asks, for what, and how long it may take."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web
from msgspec import Struct

from dragon.engine.definitions import Definition, NotADefinition, read_query_definition
from dragon.engine.files.file_jobs import FileJobs, Wish
from dragon.errors import BadRequest, Problem
from dragon.http.files.placeholders import ERROR_PICTURE, PictureSize, asked_size
from dragon.http.files.waiting import Waiting, take_waiting
from dragon.http.requests.authentication import Accounts, Caller
from dragon.http.requests.base_url import base_url
from dragon.http.requests.bodies import read_body
from dragon.http.requests.parameters import Parameters, task_query
from dragon.http.requests.signed_urls import SignedUrls
from dragon.registry import Registry
from dragon.settings import Settings

MAX_REMEMBERED = 5_000
MAX_LETTERS = 2_048
"""Of the address and headers of a request that is remembered."""


class FileRequest(Struct, frozen=True, kw_only=True):
    """A request that is right in all that can be told without the task. `size` is a guess."""

    caller: Caller
    definition: Definition
    waiting: Waiting
    url: str
    """Of this server, as the client knows it."""
    filename: str
    size: PictureSize
    fingerprint: str = ""

    def without_input(self) -> "FileRequest":
        """What its answer needs: who waits, for hours perhaps, must not hold the rest."""
        definition = msgspec.structs.replace(self.definition, params=None, metas=None)
        return msgspec.structs.replace(self, definition=definition)

    def wish(self, *, has_partial_files: bool) -> Wish:
        """What the request waits for, from now on."""
        seconds = self.waiting.seconds
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        return Wish(filename=self.filename if has_partial_files else "", deadline=deadline)


class FileRequests:
    """`read_get` remembers what it read and found right: pages ask for the same again and again.

    Both raise Unauthorized and BadRequest.
    """

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        signed_urls: SignedUrls,
        registry: Registry,
        jobs: FileJobs,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._signed_urls = signed_urls
        self._registry = registry
        self._jobs = jobs
        self._remembered: OrderedDict[tuple[str | None, ...], FileRequest] = OrderedDict()

    async def read_post(self, request: web.Request) -> FileRequest:
        body = await read_body(request, self._settings)
        task = body.get("task")
        size = asked_size(task if isinstance(task, dict) else {})
        if body.get("error") == "image":
            request[ERROR_PICTURE] = size
        caller = self._accounts.identify(request, body)
        parameters = Parameters(body, "body")
        definitions = parameters.take_definition(self._registry, _accept(request))
        waiting = take_waiting(parameters, caller, self._settings)
        parameters.check()
        return FileRequest(
            caller=caller,
            definition=definitions[0],
            waiting=waiting,
            url=base_url(request, self._settings),
            filename=filename_of(request),
            size=size,
        )

    def read_get(self, request: web.Request) -> FileRequest:
        # All that the answer to who may ask, and for what, depends on; but not the time.
        name = (request.raw_path, request.scheme, *map(request.headers.get, _HEADERS))
        known = self._remembered.get(name)
        if known is None:
            known = self._read_get(request)
            self._remember(name, known)
        self._signed_urls.check_expiry(known.caller)
        return known

    def _remember(self, name: tuple[str | None, ...], read: FileRequest) -> None:
        if not read.fingerprint or sum(len(part or "") for part in name) > MAX_LETTERS:
            return
        self._remembered[name] = read
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _read_get(self, request: web.Request) -> FileRequest:
        signer = self._signed_urls.identify(request)
        caller = signer or self._accounts.identify(request, None)
        parameters = Parameters.of_query(request)
        waiting = take_waiting(parameters, caller, self._settings)
        parameters.check()
        definition = self._read_definition(task_query(request), _accept(request))
        url = base_url(request, self._settings)
        return FileRequest(
            caller=caller,
            definition=definition,
            waiting=waiting,
            url=url,
            filename=filename_of(request),
            size=asked_size(request.query),
            fingerprint=self._jobs.fingerprint(definition, caller.account, url),
        )

    def _read_definition(self, values: Mapping[str, Any], accept: str) -> Definition:
        try:
            return read_query_definition(self._registry, values, accept)
        except NotADefinition as error:
            raise BadRequest([Problem("task_name", "query", str(error))]) from None


_HEADERS = (hdrs.HOST, hdrs.AUTHORIZATION, hdrs.REFERER, hdrs.ORIGIN, hdrs.ACCEPT)


def filename_of(request: web.Request) -> str:
    return request.match_info.get("filename", "")


def _accept(request: web.Request) -> str:
    return request.headers.get(hdrs.ACCEPT, "")
