"""What a worker and its decoder children say to each other, and how much of it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from dragon.errors import TaskFailed

MAX_MESSAGE_BYTES = 128 * 1024
"""One message is one packet of the socket; what is larger belongs into a File."""

MAX_DESCRIPTORS = 48
MAX_OPEN_FILES = 128
"""In a child: the descriptors of a call, as many copies that a library makes, and its own."""

MAX_TEXT = 16 * 1024

Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class Start(Struct, frozen=True, kw_only=True):
    """The first message to a child: whose it is, and how to confine itself."""

    parent_pid: int
    memory_bytes: int
    cpu_seconds: int
    warm: tuple[str, ...]


class Ready(Struct, frozen=True, kw_only=True):
    """The first message of a child: which measures are in force, or `none: <reason>`."""

    confinement: dict[Text, Text]


class Request(Struct, frozen=True, kw_only=True):
    """Call `function` ("module:name"); the descriptors sent along replace these arguments.

    The argument `tell` becomes what tells values while the function runs, as `tells` has it.
    """

    function: str
    arguments: tuple[msgspec.Raw, ...]
    descriptors: tuple[int, ...] = ()
    tell: int | None = None


class Done(Struct, frozen=True, tag="done"):
    """The function returned this, to be decoded by its annotation."""

    value: msgspec.Raw


class Failed(Struct, frozen=True, tag="failed"):
    """The function raised a TaskError with this message."""

    message: Text


class Bug(Struct, frozen=True, tag="bug"):
    """The function raised anything else: the end of its traceback."""

    traceback: Text


Reply = Done | Failed | Bug

encode = msgspec.msgpack.Encoder().encode
decode_start = msgspec.msgpack.Decoder(Start).decode
decode_ready = msgspec.msgpack.Decoder(Ready).decode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder[Reply](Reply).decode

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises on bytes that somebody made up."""


class UnreadableReply(TaskFailed):
    """What came back was made by no decoder of ours: the file took it over, or broke it."""


def decode(value: msgspec.Raw, type_: Any) -> Any:
    return msgspec.msgpack.decode(value, type=type_)
