"""Reads the Idempotency-Key header: the same key and body are the same request."""

import hashlib
import re
from typing import Annotated

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.errors import BadRequest, Problem
from dragon.settings import Account, Settings
from dragon.store.submission import Idempotency

HEADER = "Idempotency-Key"

_KEY = re.compile(r"\A[\x21-\x7e]{1,255}\Z")


class Repeatable(Struct, frozen=True, kw_only=True):
    """The headers of a request that may be repeated."""

    idempotency_key: (
        Annotated[str, Meta(pattern=_KEY.pattern, description="new for each request that is meant")]
        | UnsetType
    ) = field(name=HEADER, default=UNSET)


async def read_idempotency(
    request: web.Request, account: Account, settings: Settings
) -> Idempotency | None:
    """None where the header is not given; raises BadRequest where it cannot be one."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.match(key):
        words = f"{HEADER} must be 1 to 255 visible ASCII characters"
        raise BadRequest([Problem(HEADER, "header", words)])
    body = await request.read() or request.query_string.encode()
    return Idempotency(
        key=hashlib.sha256(f"{account.name} {key}".encode()).hexdigest(),
        body=hashlib.sha256(body).hexdigest(),
        seconds=min(settings.idempotency_seconds, settings.retention_seconds),
    )
