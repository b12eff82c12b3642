"""Addresses of servers, as settings and options give them."""

import re
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from dragon.errors import InvalidSettings

_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_VALKEY_FORMS = {
    "sentinel": "sentinel://[user:password@]host:port,host:port/service-name[/db]",
    "cluster": "cluster://[user:password@]host:port,host:port",
}


class ValkeyServers(Struct, frozen=True, kw_only=True):
    """Sentinels that know where `service` is, or some nodes of a cluster."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = None
    service: str = ""
    db: int = 0


def split_server_url(text: str) -> SplitResult | None:
    """The parts of an http or https URL of a server, perhaps with a path; None if it is none."""
    try:
        url = urlsplit(text)
        is_one = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:  # its port is no number, or its bracket is never closed
        return None
    has_more = url.query or url.fragment or text.split() != [text]
    return url if is_one and not has_more else None


class StoreUrl(Struct, frozen=True, kw_only=True):
    """A bucket, or container, and what all or one of the paths in it begin with."""

    scheme: str
    bucket: str
    path: str


_STORE_URL = re.compile(
    r"(?P<scheme>s3|gs|az)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/(?P<path>[^\x00-\x1f\x7f]*))?"
)


def split_store_url(text: str) -> StoreUrl | None:
    """The parts of `s3://bucket/path` and the like; None for what is no such URL."""
    found = _STORE_URL.fullmatch(text)
    if not found:
        return None
    path = (found["path"] or "").strip("/")
    # `..` and the like are no names in an object store, but they are in much that stands before it.
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        return None
    return StoreUrl(scheme=found["scheme"], bucket=found["bucket"], path=path)


def split_valkey_url(text: str) -> ValkeyServers | None:
    """What a sentinel:// or cluster:// URL says; None for one that names a single server.

    Raises InvalidSettings, without the password that the URL may have.
    """
    scheme, separator, rest = text.partition("://")
    if separator and scheme in ("redis", "rediss", "unix"):
        return None
    if not separator or scheme not in _VALKEY_FORMS:
        words = "redis: the URL must begin with redis://, rediss://, unix://, sentinel://"
        raise InvalidSettings(f"{words} or cluster://")
    place, _, path = rest.partition("/")
    credentials, _, hosts = place.rpartition("@")
    username, colon, password = credentials.partition(":")
    if credentials and not (colon and password):
        raise _invalid(scheme, "before the @ must stand user:password or :password")
    service, db = _split_path(scheme, path)
    return ValkeyServers(
        scheme=scheme,
        hosts=tuple(_split_host(scheme, host) for host in hosts.split(",")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        service=service,
        db=db,
    )


def _split_path(scheme: str, path: str) -> tuple[str, int]:
    if scheme == "cluster":
        if path:
            raise _invalid(scheme, f"a cluster has no names and one database, what is {path!r}?")
        return "", 0
    service, _, db = path.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", service):
        raise _invalid(scheme, f"{service!r} is not the name of a service that Sentinel watches")
    if not re.fullmatch(r"[0-9]{0,4}", db):
        raise _invalid(scheme, f"{db!r} is not the number of a database")
    return service, int(db or 0)


def _split_host(scheme: str, text: str) -> tuple[str, int]:
    try:
        url = urlsplit("//" + text)
        host, port = url.hostname, url.port
        is_one = host and port != 0 and url.netloc == text and text.split() == [text]
    except ValueError:  # its port is no number, or its bracket is never closed
        is_one = False
    if not is_one:
        raise _invalid(scheme, f"{text!r} is not host:port")
    return str(host), port or _DEFAULT_PORTS[scheme]


def _invalid(scheme: str, words: str) -> InvalidSettings:
    return InvalidSettings(f"redis: {words}; it must be {_VALKEY_FORMS[scheme]}")
