"""One request's jobs, on their way into the store."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from dragon.schemas import Claim, Job, Update, encode
from dragon.settings import Limits


class Idempotency(Struct, frozen=True, kw_only=True):
    """What makes a request a repetition: hashes of the key that the client gave and of the body."""

    key: str
    body: str
    seconds: int


class Submission(Struct, frozen=True, kw_only=True):
    """One request's jobs, accepted or refused together. `updates` are their first statuses."""

    account: str
    limits: Limits
    weight: float
    jobs: tuple[Job, ...]
    updates: tuple[Update, ...]
    shard: int
    fingerprint: str = ""
    reuse_seconds: int = 0
    idempotency: Idempotency | None = None
    parent: Claim | None = None
    """The run that asks for a child, which then is the only job."""

    def count_jobs(self) -> int:
        return len(self.jobs)


def pack(submissions: Iterable[Submission]) -> bytes:
    """As submit.lua reads them."""
    return msgspec.msgpack.encode([_pack(submission) for submission in submissions])


def _pack(submission: Submission) -> tuple[Any, ...]:
    limits, idempotency, parent = submission.limits, submission.idempotency, submission.parent
    jobs = [
        (
            job.key,
            update.state,
            # Text, for the scripts' MessagePack knows no binary type.
            update.line.decode(),
            encode(job).decode(),
            job.kind,
            job.task,
            job.queued,
            # It costs its account nothing, and comes first.
            0 if parent and job.kind == parent.job.kind else 1 / submission.weight,
            limits.running or 0,
            job.attempts,
            job.retention_seconds * 1000,
            submission.reuse_seconds * 1000,
        )
        for job, update in zip(submission.jobs, submission.updates, strict=True)
    ]
    return (
        submission.account,
        limits.queued or 0,
        limits.per_minute or 0,
        submission.fingerprint,
        idempotency.key if idempotency else "",
        idempotency.body if idempotency else "",
        idempotency.seconds if idempotency else 0,
        jobs,
        parent.job.key if parent else "",
        parent.token if parent else 0,
    )
