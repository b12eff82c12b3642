"""Output files: choosing one by name, redirecting to it, serving it."""

import re
from contextlib import suppress
from typing import Annotated

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from msgspec import UNSET, Meta, Struct, UnsetType, field

from dragon.engine.files.file_jobs import FileJobs
from dragon.engine.files.outputs import Outputs
from dragon.errors import FileNotFound
from dragon.http.answers import Failure, WrongRequest
from dragon.http.describing.routes import About, Answer, Route, told
from dragon.http.files.caching import cache_control
from dragon.http.files.stored import send_stored
from dragon.schemas import LINKING_TYPES, SIGNED, Key, OutputFile, Record, find_file, is_key
from dragon.storage.bucket import Bucket


def choose_file(record: Record, filename: str) -> OutputFile:
    """The file that a name selects, with or without its extension; any if there is but one.

    Raises FileNotFound.
    """
    made = (*record.files, *record.deleted)
    if not made:
        raise FileNotFound(f"the task {record.job.task!r} made no file")
    if file := made[0] if len(made) == 1 else find_file(made, filename):
        if file.deleted:
            raise FileNotFound(f"the file '{file.name}' was deleted")
        return file
    names = ", ".join(f"'{file.name}'" for file in made)
    if not filename:
        raise FileNotFound(f"a filename is missing, choose one of: {names}")
    raise FileNotFound(f"'{filename[:100]}' is not a valid filename, choose one of: {names}")


def redirect_to(url: str, caching: str) -> web.Response:
    """302 to a file, kept by caches as `caching` says."""
    return web.Response(status=302, headers={hdrs.LOCATION: url, hdrs.CACHE_CONTROL: caching})


_OnDisk = Annotated[str, Meta(description="counts for files on the server's own disk")]


class Conditions(Struct, frozen=True, kw_only=True):
    """The headers of a request for a part, or for what is not known yet."""

    range: str | UnsetType = field(name="Range", default=UNSET)
    if_range: str | UnsetType = field(name="If-Range", default=UNSET)
    if_none_match: str | UnsetType = field(name="If-None-Match", default=UNSET)
    if_modified_since: _OnDisk | UnsetType = field(name="If-Modified-Since", default=UNSET)
    if_match: _OnDisk | UnsetType = field(name="If-Match", default=UNSET)
    if_unmodified_since: _OnDisk | UnsetType = field(name="If-Unmodified-Since", default=UNSET)


class Filename(Struct, frozen=True, kw_only=True):
    filename: str


class FilePath(Filename, frozen=True, kw_only=True):
    key: Key


REDIRECTED = Answer(
    "To the file, or to the store that has it.",
    headers={
        "Location": "the URL of the file",
        "Cache-Control": "how long the answer holds, or no-store",
    },
)
NO_FILE = told("The key or the name of the file is unknown.", WrongRequest, Failure)

_ONE_RANGE = re.compile(r"bytes=(?:[0-9]+-[0-9]*|-0*[1-9][0-9]*)", re.IGNORECASE)

_FILE_HEADERS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "how long it is kept",
    "ETag": "of the file",
    "Last-Modified": "when it was made",
}
_FILE = About(
    summary="A file that a task made",
    path=FilePath,
    headers=(Conditions,),
    answers={
        200: Answer("The file.", {"*/*": ()}, _FILE_HEADERS),
        206: Answer("A part of it.", {"*/*": ()}, {**_FILE_HEADERS, "Content-Range": "which"}),
        302: REDIRECTED,
        304: Answer("What is known holds.", headers=_FILE_HEADERS),
        404: NO_FILE,
        412: Answer("A condition does not hold."),
        416: Answer("There is no such part.", headers={"Content-Range": "its length"}),
    },
)


class FilesHandler:
    """`/files/<key>/<name>`: whoever holds the key may read; type, ETag, Range and HEAD."""

    def __init__(self, jobs: FileJobs, outputs: Outputs) -> None:
        self._jobs = jobs
        self._outputs = outputs

    def routes(self) -> list[Route]:
        return [Route("GET", "/files/{key}/{filename}", self.serve, _FILE)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        key, filename = request.match_info["key"], request.match_info["filename"]
        if not is_key(key):
            raise web.HTTPNotFound
        request = _with_one_range(request)
        record = await self._jobs.read(key)
        file = next((file for file in record.files if file.filename == filename), None)
        if file is None:
            raise web.HTTPNotFound
        if file.store == SIGNED:
            return redirect_to(file.path, cache_control(self._jobs.seconds_left(record)))
        if file.store:
            return await self._serve_stored(request, record, file)
        if not self._outputs.path(file).is_file():
            raise web.HTTPNotFound
        response = _File(self._outputs.path(file), headers=self._headers(record))
        response.content_type = file.content_type
        # Sent here and not by the library later, so that a drain waits for downloads, too. A
        # client that has left reads no answer to its leaving.
        with suppress(ConnectionResetError):
            await response.prepare(request)
        return response

    async def _serve_stored(
        self, request: web.Request, record: Record, file: OutputFile
    ) -> web.StreamResponse:
        bucket = self._outputs.stores.get(file.store)
        if bucket is None:
            raise web.HTTPNotFound
        if bucket.settings.presigned_seconds and file.content_type not in LINKING_TYPES:
            return await self._redirect_signed(request, bucket, record, file)
        return await send_stored(request, bucket, file, self._headers(record))

    async def _redirect_signed(
        self, request: web.Request, bucket: Bucket, record: Record, file: OutputFile
    ) -> web.Response:
        """To a URL that outlives the redirect, and is outlived by the file."""
        seconds = bucket.settings.presigned_seconds
        if record.update.is_final:
            seconds = max(1, min(seconds, self._jobs.seconds_left(record)))
        is_head = request.method == hdrs.METH_HEAD
        url = await bucket.signed_url(file.path, seconds, is_head=is_head)
        is_kept = record.update.is_final and not is_head
        return redirect_to(url, cache_control(seconds / 2 if is_kept else 0))

    def _headers(self, record: Record) -> dict[str, str]:
        return {
            hdrs.CACHE_CONTROL: (
                f"public, max-age={self._jobs.seconds_left(record)}, immutable"
                if record.update.is_final
                # Of a partial result: the whole one may have another file of that name.
                else "no-cache"
            ),
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }


def _with_one_range(request: web.Request) -> web.Request:
    """As if nothing else than one range of bytes could be asked for: then all of it is sent."""
    if _ONE_RANGE.fullmatch(request.headers.get(hdrs.RANGE, "bytes=0-")):
        return request
    others = [
        (name, value)
        for name, value in request.headers.items()
        # The library cannot copy what is no text.
        if name.lower() != "range" and value.isascii()
    ]
    return request.clone(headers=others)


class _File(web.FileResponse):
    """A file that is not sent again when it is returned."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None if self.prepared else await super().prepare(request)
