"""Uploads large files in parts, of which none is left if anything fails."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import S3Store

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 2
ABORT_SECONDS = 3.0
"""A worker that drains has little time left, and goes on to hand back what it could not end."""


class _Stopped(Exception):
    """The upload is not wanted any more."""


async def put_parts(store: "S3Store", path: str, file: Path, attributes: "Attributes") -> None:
    """Upload a file; one that fails leaves nothing in the store.

    Nor does one that is cancelled, or else all of the file if its last part was on its way. Raises
    what the library raises.
    """
    stopped = asyncio.Event()
    put = asyncio.ensure_future(
        store.put_async(
            path,
            _parts(file, stopped),
            attributes=attributes,
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )
    )
    try:
        # Cancelled, the library would just forget the parts; when reading the file fails it aborts.
        await asyncio.shield(put)
    except asyncio.CancelledError:
        stopped.set()
        put.add_done_callback(_forget)
        await asyncio.wait([put], timeout=ABORT_SECONDS)
        raise


async def _parts(file: Path, stopped: asyncio.Event) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(file.open, "rb") as opened:
        while data := await asyncio.to_thread(opened.read, PART_BYTES):
            if stopped.is_set():
                raise _Stopped
            yield data
        if stopped.is_set():
            raise _Stopped


def _forget(put: asyncio.Future[Any]) -> None:
    """Look at how it ended, or asyncio complains that nobody did."""
    if not put.cancelled():
        put.exception()
