"""Makes the addresses of a page absolute, and tells which of them are the same."""

import re

from yarl import URL

MAX_LETTERS = 8192
"""Longer ones could not be fetched."""

_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_WELL_FORMED = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_LINE_BREAKS = str.maketrans("", "", "\t\r\n")
_OUTER = "".join(map(chr, range(0x21)))


def absolute(address: str, base: URL) -> URL | None:
    """Where an address that stands in a page leads; None for what cannot be fetched.

    Well-formed addresses are kept letter for letter, as some are signed.
    """
    address = address.strip(_OUTER)
    if not 0 < len(address) <= MAX_LETTERS or _OTHER_SCHEME.match(address):
        return None
    address = address.translate(_LINE_BREAKS)
    try:
        url = base.join(URL(address, encoded=_WELL_FORMED.fullmatch(address) is not None))
        host = url.raw_host
        if url.scheme not in ("http", "https") or not (host and url.port) or url.raw_user:
            return None
        url = url.with_fragment(None)
        url = url if host == host.lower() else url.with_host(host.lower())
        return url if len(str(url)) <= MAX_LETTERS else None
    except (ValueError, IndexError):  # yarl indexes into the empty host of `http://[]@/`
        return None


def identity(url: URL) -> str:
    """The same for two addresses of one file: spelt otherwise, or over http and https."""
    plain = URL(str(url))
    port = "" if plain.is_default_port() else plain.port
    return f"{plain.raw_host}:{port}{plain.raw_path_qs}"
