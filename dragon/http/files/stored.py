"""Passes on files from a store, as if they lay here: ETag, Range and HEAD."""

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import structlog
from aiohttp import ETag, hdrs, web

from dragon.errors import StorageUnavailable
from dragon.schemas import OutputFile
from dragon.storage.bucket import Bucket, Stored

log = structlog.get_logger()

_PIECE_BYTES = 1024 * 1024
"""What a reader, however slow, takes of memory."""


async def send_stored(
    request: web.Request, bucket: Bucket, file: OutputFile, headers: dict[str, str]
) -> web.StreamResponse:
    """The answer, already sent. Raises StorageUnavailable before the first byte of it."""
    try:
        stored = await bucket.about(file.path)
    except FileNotFoundError:
        raise web.HTTPNotFound from None
    headers = headers | {hdrs.ACCEPT_RANGES: "bytes"}
    if stored.etag:
        headers[hdrs.ETAG] = stored.etag
    if request.if_match is not None and not _is_among(request.if_match, stored):
        return web.Response(status=412)
    if _is_among(request.if_none_match or (), stored):
        return web.Response(status=304, headers=headers)
    asked = _range(request, stored)
    if asked is None:
        headers[hdrs.CONTENT_RANGE] = f"bytes */{stored.size}"
        return web.Response(status=416, headers=headers)
    start, end = asked
    is_part = _wants_part(request, stored)
    if is_part:
        headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{stored.size}"
    response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
    response.content_type = file.content_type
    response.content_length = end - start
    response.last_modified = stored.modified
    # A client that has left reads no answer to its leaving.
    with suppress(ConnectionResetError):
        await response.prepare(request)
        if request.method != hdrs.METH_HEAD:
            pieces = bucket.read(file.path, stored, start, end, _PIECE_BYTES)
            await _pass_on(request, response, pieces)
    return response


async def _pass_on(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]
) -> None:
    try:
        async for piece in pieces:
            await response.write(piece)
        await response.write_eof()
    except (StorageUnavailable, FileNotFoundError):
        # The head promised more: a connection that breaks off says that this is not all.
        log.warning("download_broken_off", path=request.path)
        if request.transport:
            request.transport.abort()


def _is_among(etags: Iterable[ETag], stored: Stored) -> bool:
    etag = stored.etag.removeprefix("W/").strip('"')
    return bool(etag) and any(one.value in (etag, "*") for one in etags)


def _wants_part(request: web.Request, stored: Stored) -> bool:
    """Of the file as it is now."""
    condition = request.headers.get(hdrs.IF_RANGE)
    return hdrs.RANGE in request.headers and condition in (None, stored.etag)


def _range(request: web.Request, stored: Stored) -> tuple[int, int] | None:
    """The first byte that is asked for, and the one after the last; None where there are none."""
    if not _wants_part(request, stored):
        return 0, stored.size
    try:
        asked = request.http_range
    except ValueError:
        return None
    start, end, _ = slice(asked.start, asked.stop).indices(stored.size)
    return (start, end) if start < end else None
