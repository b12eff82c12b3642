"""The files that an account has stored: /v2/storage/…"""

import msgspec
from aiohttp import web

from dragon.engine.stored_files import Selection, StoredFiles
from dragon.http.authentication import Accounts
from dragon.http.bodies import read_body
from dragon.http.errors import json_response
from dragon.http.storage_parameters import StorageParameters
from dragon.settings import Settings
from dragon.store.clock import StoreClock

MAX_LISTED = 10_000


class Storage:
    """For whoever has an account's secret, and of that account alone."""

    def __init__(
        self, settings: Settings, accounts: Accounts, files: StoredFiles, clock: StoreClock
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._files = files
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        files, expiration = "/v2/storage/files", "/v2/storage/expiration"
        return [
            *(web.get(files + path, self.list) for path in ("", "/{path:.*}")),
            *(web.delete(files + path, self.delete) for path in ("", "/{path:.*}")),
            web.get(expiration, self.expiration),
            web.post(expiration, self.set_expiration),
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
        selection = self._select(parameters)
        is_dry = parameters.take_boolean("dry_run")
        if selection == Selection() and not is_dry:
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

    def _select(self, parameters: StorageParameters) -> Selection:
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
        oldest_us = int((self._clock.now() - max_age_seconds) * 1e6)
        last_us = oldest_us if last_us is None else min(last_us, oldest_us)
        return msgspec.structs.replace(selection, last_us=last_us)
