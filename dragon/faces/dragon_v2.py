"""The Dragon tasks API, second version: /v2/…"""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from dragon.faces.version import Version
from dragon.schemas import Record, Status, Update, encode


class Details(Struct, frozen=True, kw_only=True):
    """What a status has besides, for who asks: the definition, and how often it was tried."""

    task_name: str
    parameters: Raw
    task_metas: Any
    task_store: dict[str, Any]
    attempts: int


class DetailedStatus(Status, frozen=True, kw_only=True):
    """How far a task is, and with `details=true` what it was asked for."""

    details: Details | UnsetType = UNSET


def translate(update: Update) -> bytes:
    """A status as the second version words it, which is how it is kept."""
    return update.line


def detail(record: Record) -> bytes:
    """The status, with `details` as its last field."""
    job = record.job
    details = Details(
        task_name=job.task,
        parameters=job.params,
        task_metas=job.metas,
        task_store={"type": job.store},
        attempts=record.attempt,
    )
    return record.update.line[:-1] + b',"details":' + encode(details) + b"}"


V2 = Version(
    path="/v2",
    status=Status,
    translate=translate,
    detailed_status=DetailedStatus,
    detail=detail,
    has_partial_files=True,
)
