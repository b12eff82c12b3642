"""The Dragon tasks API, first version: /v1/…"""

from typing import Any

from msgspec import UNSET, Struct

from dragon.faces.version import Version
from dragon.schemas import Events, Key, State, Update, decode_status, encode


class FirstStatus(Struct, frozen=True, kw_only=True):
    """How far a task is. What went wrong stands in `result`, in words."""

    status: State
    key: Key
    progress: Any = UNSET
    result: Any = UNSET
    events: Events


def translate(update: Update) -> bytes:
    """A status as the first version words it."""
    if update.state != "error":
        return update.line
    status = decode_status(update.line)
    return encode(
        FirstStatus(
            status=status.status,
            key=status.key,
            progress=status.progress,
            result=str(status.error),
            events=status.events,
        )
    )


V1 = Version(path="/v1", status=FirstStatus, translate=translate)
