"""A call of a plain function as a message and open files, and its answer as a value."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, get_type_hints

from msgspec import Raw, Struct

from dragon.engine.isolation import messages
from dragon.engine.isolation.messages import Done, Failed, Request, UnreadableReply
from dragon.errors import TaskFailed
from dragon.task import File, Source

T = TypeVar("T")


class IsolatedBug(Exception):
    """An isolated function raised what is no TaskError; the message is its traceback."""


class Packet(Struct, frozen=True):
    """An encoded request, the descriptors to send along, and who gets what is told meanwhile."""

    message: bytes
    descriptors: list[int]
    on_told: Callable[[Any], None] | None


@contextmanager
def packed(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[Packet]:
    """The call as a packet, whose descriptors are open within the block.

    A Source is opened for reading; a File is made if need be, and opened for both. A callable
    gets what the function tells. Raises ValueError if a child could not find the function, the
    call is too large, or there are several callables.
    """
    if "<" in function.__qualname__ or function.__module__ == "__main__":
        raise ValueError(f"{function.__qualname__} is no plain function of a module")
    files = [index for index, value in enumerate(arguments) if isinstance(value, Source | File)]
    callables = [index for index, value in enumerate(arguments) if callable(value)]
    away = {*files, *callables}
    plain = [None if index in away else value for index, value in enumerate(arguments)]
    request = Request(
        function=f"{function.__module__}:{function.__qualname__}",
        arguments=tuple(Raw(messages.encode(value)) for value in plain),
        descriptors=tuple(files),
        tell=callables[0] if callables else None,
    )
    message = messages.encode(request)
    _check(request.function, len(message), len(files), len(callables))
    with ExitStack() as opened:
        descriptors = [_open(arguments[index], opened) for index in files]
        yield Packet(message, descriptors, arguments[callables[0]] if callables else None)


def unpacked(function: Callable[..., T], message: bytes) -> T:
    """What the function returned, checked by its annotation.

    Raises TaskFailed as the function did, IsolatedBug for all else that it raised or returned.
    """
    try:
        reply = messages.decode_reply(message)
    except messages.UNREADABLE:
        raise UnreadableReply("the file crashed its decoder (unreadable reply)") from None
    if isinstance(reply, Failed):
        raise TaskFailed(reply.message)
    if not isinstance(reply, Done):
        raise IsolatedBug(reply.traceback)
    try:
        return messages.decode(reply.value, _result_type(function))  # type: ignore[no-any-return]
    except messages.UNREADABLE as error:
        raise IsolatedBug(f"{function.__qualname__} returned something else: {error}") from None


def _check(function: str, size: int, files: int, callables: int) -> None:
    if size > messages.MAX_MESSAGE_BYTES:
        raise ValueError(
            f"the arguments of {function} take {size} bytes; "
            f"at most {messages.MAX_MESSAGE_BYTES} fit, what is larger belongs into a File"
        )
    if files > messages.MAX_DESCRIPTORS:
        raise ValueError(
            f"{function} got {files} files; at most {messages.MAX_DESCRIPTORS} fit into a call"
        )
    if callables > 1:
        raise ValueError(f"{function} got {callables} callables; it can tell one only")


def _open(file: Source | File, opened: ExitStack) -> int:
    flags = os.O_RDONLY if isinstance(file, Source) else os.O_RDWR | os.O_CREAT
    descriptor = os.open(file.path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    opened.callback(os.close, descriptor)
    return descriptor


@functools.cache
def _result_type(function: Callable[..., Any]) -> Any:
    return get_type_hints(function, include_extras=True).get("return", Any)
