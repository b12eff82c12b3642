"""Finds the account a request speaks for: by secret, or by api key and referrer."""

import hashlib
from collections.abc import Mapping
from math import inf
from typing import Any

from aiohttp import hdrs, web
from msgspec import Struct

from dragon.errors import Unauthorized
from dragon.http.requests.referrers import ReferrerRules
from dragon.settings import Account, Settings

WRONG = "the credentials are missing or wrong"
NOT_LISTED = "this page is not on the list of referrers of the api key"
NO_PAGE = "an api key is for pages, and the request names none: it has no Referer and no Origin"


_Entry = tuple[Account, ReferrerRules | None]


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks: the account, and what else follows from the credentials."""

    account: Account
    rules: ReferrerRules | None = None
    """Of the api key, where there is one: the pages that may use it."""
    is_told_by_url: bool = False
    """Whether the same URL is all that anybody needs to get the same."""
    expires: float = inf
    """The unix time from which on the credentials are good no longer."""


class Accounts:
    """All credentials, looked up by their hash so that timing tells nothing of their text."""

    def __init__(self, settings: Settings) -> None:
        self._entries: dict[tuple[str, bytes], _Entry] = {}
        for account in settings.accounts:
            for secret in account.secrets:
                self._entries["secret", _hash(secret)] = account, None
            for api_key in account.api_keys:
                rules = ReferrerRules(api_key.referrers)
                self._entries["api_key", _hash(api_key.key)] = account, rules

    def authenticate(self, request: web.Request, body: Mapping[str, Any] | None) -> Account:
        """The account; raises Unauthorized, in the same words for missing and wrong credentials.

        The header wins over the body, the body over the query.
        """
        return self.identify(request, body).account

    def identify(self, request: web.Request, body: Mapping[str, Any] | None) -> Caller:
        """The account and how it was found; raises as `authenticate` does."""
        account, rules = self._find(request, body)
        headers = request.headers
        referer, origin = headers.get(hdrs.REFERER), headers.get(hdrs.ORIGIN)
        if rules and not rules.allows(referer, origin):
            raise Unauthorized(NO_PAGE if referer is None and origin is None else NOT_LISTED)
        is_told_by_url = rules is None and not body and hdrs.AUTHORIZATION not in headers
        return Caller(account=account, rules=rules, is_told_by_url=is_told_by_url)

    def authenticate_owner(self, request: web.Request, body: Mapping[str, Any] | None) -> Account:
        """The same by a secret alone: an api key, which anybody can read, is as good as none."""
        account, rules = self._find(request, body)
        if rules:
            raise Unauthorized(WRONG)
        return account

    def _find(self, request: web.Request, body: Mapping[str, Any] | None) -> _Entry:
        kind, value = _credentials(request, body or {})
        entry = self._entries.get((kind, _hash(value))) if isinstance(value, str) else None
        if entry is None:
            raise Unauthorized(WRONG)
        return entry


def _credentials(request: web.Request, body: Mapping[str, Any]) -> tuple[str, Any]:
    header = request.headers.get(hdrs.AUTHORIZATION)
    if header is not None:
        scheme, _, value = header.strip().partition(" ")
        kind = {"secret": "secret", "api-key": "api_key"}.get(scheme.lower(), "")
        return kind, value.strip()
    for values in (body, request.query):
        for kind in ("secret", "api_key"):
            if kind in values:
                return kind, values[kind]
    return "", None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
