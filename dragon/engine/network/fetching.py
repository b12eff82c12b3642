"""Downloads sources over HTTP, from allowed addresses only and within limits."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

import aiohttp
from msgspec import Struct

from dragon.engine.network.addresses import AddressRules
from dragon.engine.network.failures import explain_failure, refusal
from dragon.engine.network.guard import guarded_session
from dragon.engine.network.pace import Pace
from dragon.engine.network.urls import follow_redirect, parse_url
from dragon.errors import TaskError, TaskFailed
from dragon.settings import Settings
from dragon.task import Source

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Fetcher:
    """Downloads files, any number at once.

    Raises InvalidSettings where `fetch_allow` cannot be read.
    """

    _session: aiohttp.ClientSession

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._addresses = AddressRules.parse(settings.fetch_allow, settings.fetch_ports)

    async def __aenter__(self) -> Self:
        self._session = guarded_session(self._addresses)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: str, path: Path, *, is_media: bool = False) -> Source:
        """Download `url` to `path`, which exists afterwards only if all of it arrived.

        With `is_media` it may be as large, and take as long, as audio and video do.
        Raises TaskFailed (refused, not found, too large, too slow) or TaskInterrupted (a lost
        connection, a busy server).
        """
        bounds = Bounds.of(self._settings, is_media=is_media)
        try:
            async with asyncio.timeout(bounds.timeout_seconds):
                return await self._download(url, path, bounds)
        except TaskError as error:
            failure = error
        except aiohttp.ClientError as error:
            failure = explain_failure(error)
        except TimeoutError:
            failure = TaskFailed(bounds.too_slow)
        # Raised out here, so that no cause goes with it: causes hold resolved addresses.
        raise type(failure)(f"File '{url}' could not be fetched: {failure.message}")

    async def _download(self, asked: str, path: Path, bounds: "Bounds") -> Source:
        url = parse_url(asked)
        visited = {url}
        for _ in range(self._settings.fetch_max_redirects + 1):
            # aiohttp would take custom headers along to the next host, and judge less strictly
            # where to go: each hop is a request of its own.
            async with self._session.get(url, allow_redirects=False) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    _check_answer(response)
                    return Source(
                        url=asked,
                        path=path,
                        size=await self._save(response, path, bounds),
                        location=str(url),
                        content_type=_ascii(response.headers.get("Content-Type", "")),
                    )
            url = follow_redirect(url, location)
            if url in visited:
                raise TaskFailed("it redirects in a loop")
            visited.add(url)
        raise TaskFailed(
            f"it redirects more than {self._settings.fetch_max_redirects} times "
            "(setting fetch_max_redirects)"
        )

    async def _save(self, response: aiohttp.ClientResponse, path: Path, bounds: "Bounds") -> int:
        bounds.check_size(response.content_length or 0)
        with new_file(path) as file:
            try:
                return await self._copy(response.content, file, bounds)
            except TimeoutError:
                raise TaskFailed(
                    f"it came slower than {self._settings.fetch_min_bytes_per_second} bytes per "
                    "second (setting fetch_min_bytes_per_second)"
                ) from None

    async def _copy(self, content: aiohttp.StreamReader, file: BinaryIO, bounds: "Bounds") -> int:
        """Write all of `content`; TimeoutError once it comes too slowly."""
        size = 0
        async with asyncio.timeout(None) as timeout:
            rate = self._settings.fetch_min_bytes_per_second
            pace = Pace(timeout, rate, bounds.timeout_seconds)
            async for chunk in content.iter_any():
                size += len(chunk)
                bounds.check_size(size)
                file.write(chunk)
                pace.passed(len(chunk))
        return size


class Bounds(Struct, frozen=True, kw_only=True):
    """How large a source may be, how long it may take, and how the settings of that begin."""

    prefix: str
    max_bytes: int
    timeout_seconds: float

    @classmethod
    def of(cls, settings: Settings, *, is_media: bool) -> "Bounds":
        if not is_media:
            return cls(
                prefix="fetch",
                max_bytes=settings.fetch_max_bytes,
                timeout_seconds=settings.fetch_timeout_seconds,
            )
        return cls(
            prefix="fetch_media",
            max_bytes=settings.fetch_media_max_bytes,
            timeout_seconds=settings.fetch_media_timeout_seconds,
        )

    @property
    def too_slow(self) -> str:
        words = f"it took longer than {self.timeout_seconds:g} seconds"
        return f"{words} (setting {self.prefix}_timeout_seconds)"

    def check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise TaskFailed(
                f"it is larger than {self.max_bytes} bytes (setting {self.prefix}_max_bytes)"
            )


def _check_answer(response: aiohttp.ClientResponse) -> None:
    if response.status not in (200, 203):
        raise refusal(response.status)
    # Compressed bytes count for nothing against the limits of size.
    if any(coding != "identity" for coding in response.headers.getall("Content-Encoding", [])):
        raise TaskFailed("the server sent it with a Content-Encoding, although asked not to")


def _ascii(header: str) -> str:
    """Bytes that are no text stand in headers as lone surrogates, which nothing can encode."""
    return header.encode("ascii", "replace").decode("ascii")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that stays only if the block succeeds."""
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
