"""A decoder child: confines itself, then calls functions for its worker until it is closed."""

import functools
import importlib
import inspect
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from msgspec import Raw

from dragon.engine.isolation import messages
from dragon.engine.isolation.confine import confine, leave_network, limit_cpu
from dragon.engine.isolation.messages import Bug, Done, Failed, Ready, Reply, Request, Start
from dragon.engine.isolation.tells import Teller
from dragon.errors import TaskError
from dragon.kernel import die_with_parent


def main(connection: socket.socket) -> None:
    """Serve the worker at the other end of `connection`."""
    start = messages.decode_start(connection.recv(messages.MAX_MESSAGE_BYTES))
    confinement = {"network": leave_network()}
    # Now, as the new user namespace that it may have taken forgets this.
    die_with_parent(start.parent_pid)
    for module in start.warm:
        importlib.import_module(module)
    packages = {name.partition(".")[0] for name in ("dragon", *start.warm)}
    confinement |= confine(start.memory_bytes, packages)
    connection.send(messages.encode(Ready(confinement=confinement)))
    while _serve_one(connection, start):
        pass


def _serve_one(connection: socket.socket, start: Start) -> bool:
    message, descriptors, _, _ = socket.recv_fds(
        connection, messages.MAX_MESSAGE_BYTES, messages.MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
    )
    try:
        if message:
            limit_cpu(start.cpu_seconds)
            teller = Teller(connection)
            answer = _answer(message, descriptors, teller, start)
            teller.close()
            connection.send(answer)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return bool(message)


def _answer(message: bytes, descriptors: list[int], teller: Teller, start: Start) -> bytes:
    request = messages.decode_request(message)
    answer = messages.encode(_call(request, descriptors, teller, start))
    if len(answer) > messages.MAX_MESSAGE_BYTES:
        answer = messages.encode(
            Bug(
                f"{request.function} returned {len(answer)} bytes; at most "
                f"{messages.MAX_MESSAGE_BYTES} fit, what is larger belongs into a File"
            )
        )
    return answer


def _call(request: Request, descriptors: list[int], teller: Teller, start: Start) -> Reply:
    try:
        function = _find(request.function)
        replaced = dict(zip(request.descriptors, descriptors, strict=True)) | {request.tell: teller}
        arguments = _arguments(function, request, replaced)
        value = function(*arguments)
        return Done(Raw(messages.encode(value)))
    except MemoryError:
        return Failed(
            "the file needs more memory than its decoder may use "
            f"(decoder_memory_bytes = {start.memory_bytes})"
        )
    except TaskError as error:
        return Failed(error.message[: messages.MAX_TEXT])
    except Exception:
        return Bug(traceback.format_exc()[-messages.MAX_TEXT :])


@functools.cache
def _find(name: str) -> Callable[..., Any]:
    module, _, qualified_name = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified_name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


def _arguments(
    function: Callable[..., Any], request: Request, replaced: Mapping[int | None, Any]
) -> list[Any]:
    types = _argument_types(function, len(request.arguments))
    return [
        replaced[index] if index in replaced else messages.decode(raw, type_)
        for index, (raw, type_) in enumerate(zip(request.arguments, types, strict=True))
    ]


@functools.cache
def _argument_types(function: Callable[..., Any], count: int) -> list[Any]:
    hints = get_type_hints(function, include_extras=True)
    types: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        type_ = hints.get(parameter.name, Any)
        if parameter.kind is parameter.VAR_POSITIONAL:
            types += [type_] * (count - len(types))
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            types.append(type_)
    if count > len(types):
        raise TypeError(f"{function.__name__} takes {len(types)} arguments, not {count}")
    return types[:count]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
