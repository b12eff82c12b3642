"""The files that an account has stored: /v2/storage/…"""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.engine.files.stored_files import Deletion, Expiration, Listing, Selection, StoredFiles
from dragon.http.answers import json_response
from dragon.http.describing.routes import WRONG, About, BodyCredentials, Route, told
from dragon.http.requests.authentication import Accounts
from dragon.http.requests.bodies import read_body
from dragon.http.requests.storage_parameters import MAX_DAYS, StorageParameters
from dragon.schemas import Time
from dragon.settings import Settings
from dragon.task import HttpUrl

MAX_LISTED = 10_000

Days = Annotated[float, Meta(ge=0, le=MAX_DAYS, description="a number of days")]


class StoredPath(Struct, frozen=True):
    path: Annotated[str, Meta(description="of a file, or of a directory with all below it")]


class ListQuery(Struct, frozen=True, kw_only=True):
    recursive: bool = False
    limit: Annotated[int, Meta(ge=1, le=MAX_LISTED)] = MAX_LISTED
    after: Annotated[str, Meta(description="`next` of another answer")] | UnsetType = UNSET


class DeleteQuery(Struct, frozen=True, kw_only=True):
    urls: list[HttpUrl] | UnsetType = UNSET
    first: Time | UnsetType = field(name="from", default=UNSET)
    last: Time | UnsetType = field(name="to", default=UNSET)
    max_age: Days | UnsetType = UNSET
    dry_run: bool = False


class DeleteBody(BodyCredentials, frozen=True, kw_only=True):
    urls: HttpUrl | list[HttpUrl] | UnsetType = UNSET
    first: Time | UnsetType = field(name="from", default=UNSET)
    last: Time | UnsetType = field(name="to", default=UNSET)
    max_age: Days | UnsetType = UNSET
    dry_run: bool = False


class ExpirationBody(BodyCredentials, frozen=True, kw_only=True):
    days: Annotated[int, Meta(ge=0, le=MAX_DAYS, description="0 for ever")]


LIST = About(
    summary="Tell what is stored",
    credentials="secret",
    path=StoredPath,
    query=(ListQuery,),
    answers={200: told("What lies in the directory.", Listing), 400: WRONG},
)
DELETE = About(
    summary="Delete what is stored",
    credentials="secret",
    path=StoredPath,
    query=(DeleteQuery,),
    body=DeleteBody,
    is_body_required=False,
    answers={200: told("What was deleted, or with `dry_run` would be.", Deletion), 400: WRONG},
)
EXPIRATION = About(
    summary="Tell for how many days files are kept",
    credentials="secret",
    answers={200: told("For so many.", Expiration), 400: WRONG},
)
SET_EXPIRATION = About(
    summary="Say for how many days files are kept",
    credentials="secret",
    body=ExpirationBody,
    answers={200: told("For so many, from now on.", Expiration), 400: WRONG},
)


class Storage:
    """For whoever has an account's secret, and of that account alone."""

    def __init__(self, settings: Settings, accounts: Accounts, files: StoredFiles) -> None:
        self._settings = settings
        self._accounts = accounts
        self._files = files

    def routes(self) -> list[Route]:
        files, expiration = "/v2/storage/files", "/v2/storage/expiration"
        # With ends of lines, too, which a dot does not match: they get words of their own.
        paths = (files, files + r"/{path:[\s\S]*}")
        return [
            *(Route("GET", path, self.list, LIST) for path in paths),
            *(Route("DELETE", path, self.delete, DELETE) for path in paths),
            Route("GET", expiration, self.expiration, EXPIRATION),
            Route("POST", expiration, self.set_expiration, SET_EXPIRATION),
        ]

    async def list(self, request: web.Request) -> web.Response:
        account = self._accounts.authenticate_owner(request, None)
        parameters = StorageParameters(request, {})
        path, after = parameters.take_path(), parameters.take_after()
        is_recursive = parameters.take_boolean("recursive")
        limit = parameters.take_limit(MAX_LISTED)
        parameters.check()
        listing = await self._files.listing(
            account.name, path, after, limit, is_recursive=is_recursive
        )
        return json_response(listing)

    async def delete(self, request: web.Request) -> web.Response:
        account, parameters = await self._read(request)
        selection = self._select(parameters, await self._files.now_us())
        is_dry = parameters.take_boolean("dry_run")
        # What is given wrongly has words of its own, and would not delete all.
        is_narrowed = parameters.has_any("urls", "from", "to", "max_age")
        if selection == Selection() and not is_narrowed and not is_dry:
            words = "name a path, urls, from, to or max_age: max_age=0 deletes all that there is"
            parameters.note("path", f"this would delete all files of the account: {words}", "path")
        parameters.check()
        return json_response(await self._files.delete(account, selection, is_dry=is_dry))

    async def expiration(self, request: web.Request) -> web.Response:
        account = self._accounts.authenticate_owner(request, None)
        StorageParameters(request, {}).check()
        return json_response(await self._files.expiration(account.name))

    async def set_expiration(self, request: web.Request) -> web.Response:
        account, parameters = await self._read(request)
        days = parameters.take_days()
        parameters.check()
        return json_response(await self._files.set_expiration(account, days))

    async def _read(self, request: web.Request) -> tuple[str, StorageParameters]:
        """The account that a request speaks for, and its parameters."""
        body = await read_body(request, self._settings) if request.can_read_body else {}
        account = self._accounts.authenticate_owner(request, body)
        return account.name, StorageParameters(request, body)

    def _select(self, parameters: StorageParameters, now_us: int) -> Selection:
        selection = Selection(
            path=parameters.take_path(),
            urls=parameters.take_urls(self._settings.max_tasks_per_request),
            first_us=parameters.take_moment("from"),
            last_us=parameters.take_moment("to"),
        )
        first_us, last_us = selection.first_us, selection.last_us
        if first_us is not None and last_us is not None and first_us > last_us:
            parameters.note("from", "from must not be after to")
        max_age_seconds = parameters.take_max_age()
        if max_age_seconds is None:
            return selection
        oldest_us = now_us - int(max_age_seconds * 1e6)
        last_us = oldest_us if last_us is None else min(last_us, oldest_us)
        return msgspec.structs.replace(selection, last_us=last_us)
