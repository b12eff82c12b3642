"""Reads the Idempotency-Key header: the same key and body are the same request."""

import hashlib
import re

from aiohttp import web

from dragon.errors import BadRequest, Problem
from dragon.settings import Account, Settings
from dragon.store.submission import Idempotency

HEADER = "Idempotency-Key"

_KEY = re.compile(r"\A[\x21-\x7e]{1,255}\Z")


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
