"""Jobs and their lines, as the engine and a worker hand them to the store."""

from typing import Any

import msgspec

from dragon.schemas import Claim, Events, Job, Kind, State, Status, Update, encode
from dragon.settings import Limits
from dragon.store.store import Store
from dragon.store.submission import Hook, Submission


def line_of(key: str, state: State, **fields: Any) -> bytes:
    """A status line, as a server or worker writes it."""
    return encode(Status(status=state, key=key, events=Events(queued="2024-01-01"), **fields))


def submission(
    store: Store,
    count: int = 1,
    *,
    account: str = "acme",
    task: str = "hello",
    kind: Kind = "fast",
    state: State = "queued",
    limits: Limits | None = None,
    weight: float = 1.0,
    attempts: int = 3,
    timeout_seconds: float = 60.0,
    retention_seconds: int = 60,
    fingerprint: str = "",
    reuse_seconds: int = 0,
    channel: str = "",
    shard: int = 0,
    storage: str = "persistent",
) -> Submission:
    """A request with some jobs, as the engine hands it to the store."""
    keys = [store.keys.new_job_key(channel, shard) for _ in range(count)]
    jobs = [
        Job(
            key=key,
            task=task,
            kind=kind,
            account=account,
            params=msgspec.Raw(b"{}"),
            queued=store.clock.iso(),
            base_url="http://localhost",
            timeout_seconds=timeout_seconds,
            attempts=attempts,
            retention_seconds=retention_seconds,
            store=storage,
        )
        for key in keys
    ]
    return Submission(
        account=account,
        limits=limits or Limits(),
        weight=weight,
        jobs=tuple(jobs),
        updates=tuple(Update(key, 1, state, line_of(key, state)) for key in keys),
        shard=shard,
        fingerprint=fingerprint,
        reuse_seconds=reuse_seconds,
    )


def hooked(
    store: Store,
    plain: Submission,
    *events: State,
    attempts: int = 3,
    pause_seconds: float = 0,
    connections: int = 0,
    whole_connections: int = 0,
    host: str = "receiver",
) -> Submission:
    """The same request, with the ends of all its jobs told to somebody."""
    hooks = {
        job.key: Hook(
            key=store.keys.hook_key(job.key),
            urls={event: f"http://{host}/{event}?token=1" for event in events},
            attempts=attempts,
            pause_seconds=pause_seconds,
            retention_seconds=60,
            connections=connections,
            whole_connections=whole_connections,
        )
        for job in plain.jobs
    }
    return msgspec.structs.replace(plain, hooks=hooks)


def child_of(store: Store, parent: Claim, *, place: int = 1, **options: Any) -> Submission:
    """A request of a running job, as its worker hands it to the store."""
    key = store.keys.child_key(parent.job.key, b"%d" % place)
    plain = submission(store, account=parent.job.account, **options)
    [job] = plain.jobs
    return msgspec.structs.replace(
        plain,
        jobs=(msgspec.structs.replace(job, key=key),),
        updates=(Update(key, 1, "queued", line_of(key, "queued")),),
        shard=store.keys.shard_of(key),
        parent=parent,
    )
