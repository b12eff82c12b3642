"""Downloads sources over HTTP, from allowed addresses only and within limits."""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Self

import aiohttp
from msgspec import Struct
from yarl import URL

from dragon import __version__
from dragon.engine.network.addresses import AddressRules
from dragon.engine.network.answers import Connector, Shattered
from dragon.engine.network.names import Names
from dragon.errors import TaskError, TaskFailed, TaskInterrupted
from dragon.settings import Settings
from dragon.task import Source

_BUFFER_BYTES = 256 * 1024
"""As much as the event loop reads at once: with less, each read pauses the connection."""

_LONGEST_WINDOW_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
_WELL_FORMED_URL = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_NAME_OR_IPV6 = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
)


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
            url = _follow(url, location)
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
        """Write all of `content`; TimeoutError once a portion takes longer than the window."""
        window_seconds = min(_LONGEST_WINDOW_SECONDS, bounds.timeout_seconds / 3)
        portion_bytes = self._settings.fetch_min_bytes_per_second * window_seconds
        size = portion_start = 0
        async with asyncio.timeout(window_seconds) as window:
            async for chunk in content.iter_any():
                size += len(chunk)
                bounds.check_size(size)
                file.write(chunk)
                if size - portion_start >= portion_bytes:
                    portion_start = size
                    window.reschedule(asyncio.get_running_loop().time() + window_seconds)
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


def guarded_session(addresses: AddressRules) -> aiohttp.ClientSession:
    """A session that connects nowhere but where `addresses` allows, and remembers nothing.

    To be used for every URL that somebody else gave, with `allow_redirects=False`.
    """
    return aiohttp.ClientSession(
        connector=Connector(
            # Each connect passes here with its final address; a resolver of one's own would
            # see neither IP literals nor what a name resolves to the second time.
            socket_factory=partial(_open_socket, addresses),
            resolver=Names(),
            limit=0,
        ),
        headers={"User-Agent": f"Dragon/{__version__}", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
        read_bufsize=_BUFFER_BYTES,
        auto_decompress=False,
        trust_env=False,
    )


class AddressRefused(OSError):
    """An OSError, so that the next address of a name is tried, and nothing else is skipped."""


def _open_socket(addresses: AddressRules, target: aiohttp.AddrInfoType) -> socket.socket:
    family, type_, protocol, _, (host, port, *_) = target
    if not addresses.is_allowed(str(host), int(port)):
        raise AddressRefused("refused")
    return socket.socket(family, type_, protocol)


def parse_url(url: str) -> URL:
    """An http or https URL that somebody else gave; raises TaskFailed."""
    try:
        # What is well-formed goes out letter for letter: a signed URL must not be quoted anew.
        parsed = URL(url, encoded=_WELL_FORMED_URL.fullmatch(url) is not None)
        host, has_user, _ = parsed.raw_host or "", "@" in parsed.raw_authority, parsed.port
    except (ValueError, IndexError):  # yarl indexes into the empty host of `http://[]@/`
        raise TaskFailed("its address is malformed") from None
    if parsed.scheme not in ("http", "https"):
        raise TaskFailed("its address does not start with http:// or https://")
    if not _NAME_OR_IPV6.fullmatch(host):
        raise TaskFailed("its address has no valid host")
    if has_user:
        raise TaskFailed("its address contains a user name or password, which is not supported")
    return parsed


def _follow(url: URL, location: str) -> URL:
    try:
        encoded = _WELL_FORMED_URL.fullmatch(location) is not None
        return parse_url(str(url.join(URL(location, encoded=encoded))))
    except (ValueError, IndexError):
        raise TaskFailed("it redirects to a malformed address") from None
    except TaskFailed as error:
        raise TaskFailed(f"it redirects: {error.message}") from None


def _check_answer(response: aiohttp.ClientResponse) -> None:
    if response.status not in (200, 203):
        raise refusal(response.status)
    # Compressed bytes count for nothing against the limits of size.
    if any(coding != "identity" for coding in response.headers.getall("Content-Encoding", [])):
        raise TaskFailed("the server sent it with a Content-Encoding, although asked not to")


def refusal(status: int) -> TaskError:
    """What to raise for an answer that is not what was asked for."""
    # The server's own phrase may say anything: the standard's is shown instead.
    known = {known.value: known.phrase for known in HTTPStatus}
    words = f"the server answered {status} {known.get(status, '')}".rstrip()
    may_pass = status in _PASSING or 500 <= status <= 599
    return TaskInterrupted(words) if may_pass else TaskFailed(words)


def _ascii(header: str) -> str:
    """Bytes that are no text stand in headers as lone surrogates, which nothing can encode."""
    return header.encode("ascii", "replace").decode("ascii")


def explain_failure(error: aiohttp.ClientError) -> TaskError:
    """Words for a client; aiohttp's own name addresses that are nobody's business."""
    match error:
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return TaskFailed(
                "it leads to an address or a port that is not allowed "
                "(settings fetch_allow and fetch_ports)"
            )
        case aiohttp.ClientConnectorDNSError():
            if error.os_error.errno in _UNKNOWN_NAME:
                return TaskFailed("its host name is unknown")
            return TaskInterrupted("its host name could not be looked up")
        case aiohttp.ClientConnectorCertificateError():
            return TaskFailed("the server's certificate is not valid")
        case aiohttp.ClientConnectorSSLError():
            return TaskFailed("no secure connection to the server could be made")
        case aiohttp.ClientConnectorError():
            return TaskInterrupted("no connection to the server could be made")
        case aiohttp.InvalidURL():
            return TaskFailed("its address has no valid host")
        case Shattered():
            return TaskFailed("the server's answer comes in too many small pieces")
        case aiohttp.ClientResponseError():
            return TaskFailed("the server's answer is not valid HTTP")
    return TaskInterrupted("the connection to the server was lost")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that stays only if the block succeeds."""
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise
