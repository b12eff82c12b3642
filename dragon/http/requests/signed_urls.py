"""Finds the account that signed a URL, and refuses one that was changed or has expired."""

import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from dragon.errors import Unauthorized
from dragon.http.requests.authentication import WRONG, Caller
from dragon.settings import Account
from dragon.signing import ACCOUNT, EXPIRES, SIGNATURE, derive_key, make_signature
from dragon.store.clock import StoreClock

_EXPIRES = re.compile(r"[1-9][0-9]{0,10}")


_Signer = Annotated[str, Meta(description="of a signed URL: whose secret signed it")]
_Expiry = Annotated[int, Meta(description="of a signed URL: unix time")]
_Signature = Annotated[str, Meta(description="of a signed URL: over its path and all else in it")]


class SignatureQuery(Struct, frozen=True, kw_only=True):
    """What stands in a signed URL in place of other credentials."""

    account: _Signer | UnsetType = UNSET
    expires: _Expiry | UnsetType = UNSET
    signature: _Signature | UnsetType = UNSET


class SignedUrls:
    """Any of an account's secrets signs. Where there is a signature no other credentials count."""

    def __init__(self, accounts: Iterable[Account], clock: StoreClock) -> None:
        self._clock = clock
        self._signers = {
            account.name: (account, [derive_key(secret) for secret in account.secrets])
            for account in accounts
        }

    def identify(self, request: web.Request) -> Caller | None:
        """None where the URL has no signature.

        Raises Unauthorized; for a wrong one in the same words as for wrong credentials.
        """
        given = request.query.getall(SIGNATURE, [])
        if not given:
            return None
        account, keys = self._signers.get(request.query.get(ACCOUNT, ""), (None, []))
        pairs = [(name, value) for name, value in request.query.items() if name != SIGNATURE]
        path = request.rel_url.raw_path
        signature = given[0].encode(errors="surrogatepass")
        is_right = any(
            hmac.compare_digest(make_signature(key, path, pairs).encode(), signature)
            for key in keys
        )
        expires = request.query.get(EXPIRES, "")
        if account is None or not is_right or len(given) > 1 or not _EXPIRES.fullmatch(expires):
            raise Unauthorized(WRONG)
        caller = Caller(account=account, is_told_by_url=True, expires=int(expires))
        self.check_expiry(caller)
        return caller

    def check_expiry(self, caller: Caller) -> None:
        """Raises Unauthorized where the URL was good before, and is no longer."""
        if caller.expires <= self._clock.now():
            moment = datetime.fromtimestamp(caller.expires, UTC).isoformat()
            raise Unauthorized(f"this signed URL has expired at {moment}: load the page again")
