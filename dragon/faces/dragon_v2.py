"""The Dragon tasks API, second version: /v2/…"""

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragon.faces.version import Version
from dragon.schemas import Job, Record, Status, Update, encode

_UNTOLD = frozenset({"url_callback", "url_errback"})


class Details(Struct, frozen=True, kw_only=True):
    """What a status has besides, for who asks: the definition, and how often it was tried."""

    task_name: str
    parameters: Any
    task_metas: Any
    task_store: dict[str, Any]
    attempts: int


class DetailedStatus(Status, frozen=True, kw_only=True):
    """How far a task is, and with `details=true` what it was asked for."""

    details: Details | UnsetType = UNSET


def translate(update: Update) -> bytes:
    """A status as the second version words it, which is how it is kept."""
    return update.line


def detail(record: Record, job: Job) -> bytes:
    """The status, with `details` as its last field."""
    details = Details(
        task_name=job.task,
        parameters=_without_addresses(msgspec.json.decode(job.params)),
        task_metas=job.metas,
        task_store={"type": job.store},
        attempts=record.attempt,
    )
    return record.update.line[:-1] + b',"details":' + encode(details) + b"}"


def _without_addresses(value: Any) -> Any:
    """Those of web hooks, also of tasks within a task: they may hold secrets.

    Whoever sees the address of a file knows its task's key, and may ask for these details.
    """
    if isinstance(value, list):
        return [_without_addresses(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_addresses(inner) for name, inner in value.items() if name not in _UNTOLD}


V2 = Version(
    path="/v2",
    status=Status,
    translate=translate,
    detailed_status=DetailedStatus,
    detail=detail,
    has_partial_files=True,
)
