"""Reads URLs that somebody else gave, and refuses in words what cannot be asked for."""

import re

from yarl import URL

from dragon.errors import TaskFailed

_WELL_FORMED_URL = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_NAME_OR_IPV6 = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
)


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


def follow_redirect(url: URL, location: str) -> URL:
    """Where a `Location` leads that was answered at `url`; raises TaskFailed."""
    try:
        encoded = _WELL_FORMED_URL.fullmatch(location) is not None
        return parse_url(str(url.join(URL(location, encoded=encoded))))
    except (ValueError, IndexError):
        raise TaskFailed("it redirects to a malformed address") from None
    except TaskFailed as error:
        raise TaskFailed(f"it redirects: {error.message}") from None
