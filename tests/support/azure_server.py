"""A stand-in for Azure Blob Storage: one container, with what Dragon's client asks of it."""

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any
from xml.etree import ElementTree as xml

from aiohttp import web
from msgspec import Struct, field
from yarl import URL

from dragon.settings import StoreSettings
from tests.support.azure_signatures import ACCOUNT, KEY, Refusal, check_signature
from tests.support.fetching import serving
from tests.support.waiting import DEADLINE_SECONDS

PREFIX = "kept/here"
MOST_IN_BATCH = 256
_PAGE = 100
"""Of a list; Azure itself sends as few as it likes."""
_REASONS = {
    "BlobImmutableDueToPolicy": "This operation is not permitted as the blob is immutable.",
    "AuthenticationFailed": "Server failed to authenticate the request.",
    "BlobNotFound": "The specified blob does not exist.",
    "ContainerNotFound": "The specified container does not exist.",
}
_numbers = itertools.count(0x8DE2A0000000000)


class Blob(Struct, frozen=True):
    content: bytes
    content_type: str
    etag: str = field(default_factory=lambda: f'"0x{next(_numbers):X}"')
    modified: str = field(default_factory=lambda: formatdate(usegmt=True))

    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": self.content_type,
            "ETag": self.etag,
            "Last-Modified": self.modified,
            "x-ms-blob-type": "BlockBlob",
        }


class Azure:
    """The container, and a look into it past Dragon."""

    def __init__(self) -> None:
        self.name = "container-of-acme"
        self.address = ""
        self.held: set[str] = set()
        """Paths of blobs that somebody who may has forbidden to delete."""
        self._blobs: dict[str, Blob] = {}
        self._blocks: dict[str, dict[str, bytes]] = {}

    def settings(self, server: str = "", **fields: Any) -> StoreSettings:
        """A store with a prefix in it, which is not given up: the machine may be slow."""
        known = {
            "url": f"az://{self.name}/{PREFIX}",
            "endpoint": f"{server or f'http://{self.address}'}/{ACCOUNT}",
            "access_key": ACCOUNT,
            "secret_key": KEY,
            "timeout_seconds": DEADLINE_SECONDS,
            "retry_seconds": DEADLINE_SECONDS,
        }
        return StoreSettings(**{**known, **fields})

    def paths(self) -> list[str]:
        """Of all blobs, below the prefix."""
        return sorted(name.removeprefix(PREFIX + "/") for name in self._blobs)

    def get(self, path: str) -> tuple[str, bytes]:
        """Type and content."""
        blob = self._blobs[f"{PREFIX}/{path}"]
        return blob.content_type, blob.content

    def put(self, path: str, content: bytes) -> None:
        self._blobs[f"{PREFIX}/{path}"] = Blob(content, "text/plain")

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.content.read()
        try:
            check_signature(request.method, request.rel_url, request.headers)
            if request.query.get("comp") == "batch":
                return self._delete_many(request, body)
            name = self._name(request.rel_url)
            if request.query.get("comp") == "list":
                return self._list(request.query)
            return self._ask_blob(request, name, body)
        except Refusal as refusal:
            status, code = refusal.args
            text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code></Error>'
            headers = {"x-ms-error-code": code, "Content-Type": "application/xml"}
            return web.Response(status=status, text=text, headers=headers)

    def _name(self, url: URL) -> str:
        """Of the blob, if any."""
        container, _, name = url.path.removeprefix(f"/{ACCOUNT}/").partition("/")
        if container != self.name:
            raise Refusal(404, "ContainerNotFound")
        return name

    def _ask_blob(self, request: web.Request, name: str, body: bytes) -> web.Response:
        match request.method, request.query.get("comp"):
            case (("GET" | "HEAD"), None):
                return self._read(request, name)
            case "PUT", "block":
                self._blocks.setdefault(name, {})[request.query["blockid"]] = body
                return web.Response(status=201)
            case "PUT", "blocklist":
                return self._keep(request, name, self._join(name, body))
            case "PUT", None if request.headers.get("x-ms-blob-type") == "BlockBlob":
                return self._keep(request, name, body)
        raise Refusal(400, "UnsupportedHttpVerb")

    def _join(self, name: str, body: bytes) -> bytes:
        """The blocks of a list; those that a blob was made of already are there no more."""
        there = self._blocks.get(name, {})
        ids = re.findall(r"<Uncommitted>([^<]+)<", body.decode())
        if not set(ids) <= set(there):
            raise Refusal(400, "InvalidBlockList")
        return b"".join(there[one] for one in ids)

    def _keep(self, request: web.Request, name: str, content: bytes) -> web.Response:
        content_type = request.headers.get("x-ms-blob-content-type", "application/octet-stream")
        self._blobs[name] = Blob(content, content_type)
        self._blocks.pop(name, None)
        return web.Response(status=201, headers={"ETag": self._blobs[name].etag})

    def _read(self, request: web.Request, name: str) -> web.Response:
        blob = self._find(name)
        headers, size = blob.headers(), len(blob.content)
        if request.headers.get("If-Match", blob.etag) != blob.etag:
            raise Refusal(412, "ConditionNotMet")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if not found:
            # Also where a head has an empty body.
            headers["Content-Length"] = str(size)
            return web.Response(body=blob.content, headers=headers)
        first, last = int(found[1]), min(int(found[2]), size - 1)
        if first >= size:
            raise Refusal(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return web.Response(status=206, body=blob.content[first : last + 1], headers=headers)

    def _find(self, name: str) -> Blob:
        if name not in self._blobs:
            raise Refusal(404, "BlobNotFound")
        return self._blobs[name]

    def _delete(self, name: str) -> None:
        self._find(name)
        if name.removeprefix(PREFIX + "/") in self.held:
            raise Refusal(409, "BlobImmutableDueToPolicy")
        del self._blobs[name]

    def _list(self, query: Mapping[str, str]) -> web.Response:
        names = sorted(name for name in self._blobs if name.startswith(query.get("prefix", "")))
        left = [name for name in names if name >= query.get("marker", "")]
        root = xml.Element("EnumerationResults", ContainerName=self.name)
        blobs = xml.SubElement(root, "Blobs")
        for name in left[:_PAGE]:
            blob, about = self._blobs[name], xml.SubElement(blobs, "Blob")
            xml.SubElement(about, "Name").text = name
            more = xml.SubElement(about, "Properties")
            xml.SubElement(more, "Last-Modified").text = blob.modified
            xml.SubElement(more, "Etag").text = blob.etag.strip('"')
            xml.SubElement(more, "Content-Length").text = str(len(blob.content))
            xml.SubElement(more, "Content-Type").text = blob.content_type
        xml.SubElement(root, "NextMarker").text = "".join(left[_PAGE : _PAGE + 1])
        return web.Response(body=xml.tostring(root), content_type="application/xml")

    def _delete_many(self, request: web.Request, body: bytes) -> web.Response:
        """A request in each part, which is signed by itself."""
        mark = "--" + request.headers["Content-Type"].partition("boundary=")[2]
        parts = body.decode().split(mark)[1:-1]
        if len(parts) > MOST_IN_BATCH:
            raise Refusal(400, "ExceedsMaxBatchRequestCount")
        answers = [f"--batchresponse_1\r\n{self._delete_one(part)}" for part in parts]
        text = "".join([*answers, "--batchresponse_1--"])
        headers = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
        return web.Response(status=202, body=text.encode(), headers=headers)

    def _delete_one(self, part: str) -> str:
        head, asked = part.strip().split("\r\n\r\n")
        line, *lines = asked.split("\r\n")
        method, target, _ = line.split(" ")
        headers = dict(one.split(": ", 1) for one in lines)
        url, answer = URL(target, encoded=True), "202 Accepted"
        try:
            check_signature(method, url, headers)
            self._delete(self._name(url))
        except Refusal as refusal:
            status, code = refusal.args
            answer = f"{status} {_REASONS[code]}\r\nx-ms-error-code: {code}"
        found = re.search(r"Content-ID: \d+", head)
        assert found, "each part has a number, by which its answer is known"
        return f"Content-Type: application/http\r\n{found[0]}\r\n\r\nHTTP/1.1 {answer}\r\n\r\n"


@asynccontextmanager
async def azure_server() -> AsyncIterator[Azure]:
    """On the test's own loop, and empty."""
    azure = Azure()
    async with serving(azure.answer) as url:
        azure.address = url.removeprefix("http://")
        yield azure
