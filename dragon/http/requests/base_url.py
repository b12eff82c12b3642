"""Where clients reach this server."""

from aiohttp import web

from dragon.errors import BadRequest, Problem
from dragon.settings import Settings

_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")


def base_url(request: web.Request, settings: Settings) -> str:
    """Where clients reach this server, without a slash at the end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    if not request.host or not _HOST_CHARACTERS.issuperset(request.host):
        raise BadRequest([Problem("Host", "header", "Host must be a host name and a port")])
    return f"{request.scheme}://{request.host}"
