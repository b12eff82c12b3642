"""Addresses of servers, as settings and options give them."""

from urllib.parse import SplitResult, urlsplit


def split_server_url(text: str) -> SplitResult | None:
    """The parts of an http or https URL of a server, perhaps with a path; None if it is none."""
    try:
        url = urlsplit(text)
        is_one = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # its port is no number, or its bracket is never closed
        return None
    has_more = url.query or url.fragment or text.split() != [text]
    return url if is_one and not has_more else None
