"""One request's jobs, on their way into the store."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from yarl import URL

from dragon.schemas import HOOK_TASK, Claim, HookParams, Job, State, Update, encode
from dragon.settings import Limits


class Idempotency(Struct, frozen=True, kw_only=True):
    """What makes a request a repetition: hashes of the key that the client gave and of the body."""

    key: str
    body: str
    seconds: int


class Hook(Struct, frozen=True, kw_only=True):
    """Where the end of a job is told: the address for each final state that somebody waits for.

    `key` is that of the delivery, which is a job too and has a retention of its own. `connections`
    are how many deliveries of its account one receiver gets at once, `whole_connections` how many
    all of them; 0 is any number.
    """

    key: str
    urls: Mapping[State, str]
    attempts: int
    pause_seconds: float
    retention_seconds: int
    connections: int = 0
    whole_connections: int = 0


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
    hooks: Mapping[str, Hook] = {}
    """By the keys of the jobs whose end is told."""
    parent: Claim | None = None
    """The run that asks for a child, which then is the only job."""

    def count_jobs(self) -> int:
        return len(self.jobs)


def pack(submissions: Iterable[Submission]) -> bytes:
    """As submit.lua reads them."""
    return msgspec.msgpack.encode([_pack(submission) for submission in submissions])


def _pack(submission: Submission) -> tuple[Any, ...]:
    limits, idempotency, parent = submission.limits, submission.idempotency, submission.parent
    hooks = submission.hooks
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
            _pack_hook(hook, job, submission.weight) if (hook := hooks.get(job.key)) else "",
            job.store == "volatile",
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


def _pack_hook(hook: Hook, job: Job, weight: float) -> tuple[Any, ...]:
    """As hooks.lua reads it: it adds only when the delivery was queued, and what it sends."""
    blobs = {}
    for event, url in hook.urls.items():
        delivery = Job(
            key=hook.key,
            task=HOOK_TASK,
            kind="hook",
            account=job.account,
            params=msgspec.Raw(encode(HookParams(task=job.key, event=event, url=url))),
            queued="",
            base_url="",
            timeout_seconds=0,
            attempts=hook.attempts,
            retention_seconds=hook.retention_seconds,
        )
        fields = msgspec.structs.asdict(delivery)
        del fields["queued"]
        blobs[event] = encode(fields).decode().removeprefix("{")
    return (
        hook.key,
        hook.attempts,
        hook.retention_seconds * 1000,
        int(hook.pause_seconds * 1000),
        1 / weight,
        blobs,
        hook.connections,
        {event: _receiver_of(url) for event, url in hook.urls.items()},
        hook.whole_connections,
    )


def _receiver_of(url: str) -> str:
    """The host and port, however they are written; empty of what is no address."""
    try:
        parsed = URL(url)
        host, port = parsed.raw_host or "", parsed.port
    except (ValueError, IndexError):  # yarl indexes into the empty host of `http://[]@/`
        return ""
    return f"{host.rstrip('.')}:{port}"
