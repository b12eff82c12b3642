"""Words for requests that failed, without addresses that are nobody's business."""

import socket
from http import HTTPStatus

import aiohttp

from dragon.engine.network.connector import Shattered
from dragon.engine.network.guard import AddressRefused
from dragon.errors import TaskError, TaskFailed, TaskInterrupted

_PASSING = frozenset({408, 425, 429})
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


def refusal(status: int) -> TaskError:
    """What to raise for an answer that is not what was asked for."""
    # The server's own phrase may say anything: the standard's is shown instead.
    known = {known.value: known.phrase for known in HTTPStatus}
    words = f"the server answered {status} {known.get(status, '')}".rstrip()
    may_pass = status in _PASSING or 500 <= status <= 599
    return TaskInterrupted(words) if may_pass else TaskFailed(words)


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
