"""Decides whether a page may use an API key, by the page's address."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote

from msgspec import Struct
from yarl import URL

from dragon.errors import InvalidSettings

_DEFAULT_PORTS = {"http": 80, "https": 443}

# The flags are `ai`: without `a`, letters of other alphabets match the s of https.
_HOST = r"(?P<host>\[[^\]]*\]|[^\[\]:/?#@\\]+)"
_PATH = r"(?P<path>/[^?#\\]*)?"
_PAGE = re.compile(rf"(?ai)(?P<scheme>https?)://{_HOST}(:(?P<port>[0-9]{{0,5}}))?{_PATH}([?#].*)?")
_ENTRY = re.compile(
    rf"(?ai)((?P<scheme>https?)://)?(?P<wildcard>\*\.)?{_HOST}(:(?P<port>[0-9]{{1,5}}))?{_PATH}"
)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_NAME = re.compile(r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")


class ReferrerRules:
    """The pages that an API key may be used on; without entries, none.

    An entry is a host (`example.com`), or a wildcard for all hosts below one (`*.example.com`),
    with a scheme before it, a port or the first part of a path after it where only these are
    meant (`https://example.com:8443/blog`). Raises InvalidSettings for any other entry.

    By default browsers send pages elsewhere only their origin: an entry with a path needs pages
    with `Referrer-Policy: no-referrer-when-downgrade`.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        self._rules = [_parse_rule(entry) for entry in entries]

    def allows(self, referer: str | None, origin: str | None) -> bool:
        """Whether a request with these headers comes from a listed page.

        `Origin` counts only where there is no `Referer`; a header that does not parse is refused.
        """
        page = _parse_page((referer if referer is not None else origin) or "")
        return page is not None and any(rule.matches(page) for rule in self._rules)


class _Page(Struct, frozen=True, kw_only=True):
    scheme: str
    host: str
    port: int
    folders: tuple[str, ...]


class _Rule(Struct, frozen=True, kw_only=True):
    scheme: str | None
    host: str
    is_wildcard: bool
    port: int | None
    folders: tuple[str, ...]

    def matches(self, page: _Page) -> bool:
        return (
            self.scheme in (None, page.scheme)
            and self.port in (None, page.port)
            and self._matches_host(page.host)
            and page.folders[: len(self.folders)] == self.folders
        )

    def _matches_host(self, host: str) -> bool:
        return host.endswith(f".{self.host}") if self.is_wildcard else host == self.host


def _parse_rule(entry: str) -> _Rule:
    match = None if _UNPRINTABLE.search(entry) else _ENTRY.fullmatch(entry)
    host = match and _parse_host(match["host"])
    if match is None or host is None:
        raise InvalidSettings(
            f"referrers: {entry!r} is not a host; write one such as example.com or "
            "*.example.com, with a scheme, a port or a path if only these are meant"
        )
    if match["wildcard"] and _is_ip_address(host):
        raise InvalidSettings(f"referrers: {entry!r} is a wildcard, but an IP address has no parts")
    if "*" in (match["path"] or ""):
        raise InvalidSettings(
            f"referrers: {entry!r} has a * in its path; a path covers all below it without one"
        )
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 1 <= port <= 65_535:
        raise InvalidSettings(f"referrers: {entry!r} has a port that is not from 1 to 65535")
    return _Rule(
        scheme=match["scheme"] and match["scheme"].lower(),
        host=host,
        is_wildcard=match["wildcard"] is not None,
        port=port,
        folders=_parse_path((match["path"] or "").rstrip("/")),
    )


def _parse_page(url: str) -> _Page | None:
    match = None if _UNPRINTABLE.search(url) else _PAGE.fullmatch(url)
    host = match and _parse_host(match["host"])
    if match is None or host is None:
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if port > 65_535:
        return None
    return _Page(scheme=scheme, host=host, port=port, folders=_parse_path(match["path"] or ""))


def _parse_host(text: str) -> str | None:
    """The one spelling that all spellings of a host share, or None if it is none."""
    try:
        if text.startswith("["):
            return IPv6Address("" if "%" in text else text[1:-1]).compressed
        name = text if text.isascii() else URL.build(scheme="http", host=text).raw_host or ""
        name = name.lower().removesuffix(".")
        # Browsers take a host that ends in a number for an IPv4 address.
        if _is_ip_address(name):
            return str(IPv4Address(name))
    except ValueError:
        return None
    return name if _NAME.fullmatch(name) else None


def _is_ip_address(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _parse_path(path: str) -> tuple[str, ...]:
    """The decoded segments of a path, after `.` and `..` took effect.

    Split before it is decoded: %2F is part of a name, and not the end of one.
    """
    segments: list[str] = []
    for part in path.split("/")[1:]:
        segment = unquote(part, errors="surrogateescape")
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return tuple(segments)
