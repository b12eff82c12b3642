"""What the store ought to do, as a model without a store: its transitions on dictionaries."""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from dragon.schemas import Kind, Reaped, State
from dragon.settings import Limits
from dragon.store.submission import Submission

LIMITS = {
    "free": Limits(),
    "one": Limits(running=1),
    "two": Limits(running=2, queued=4),
    "slow": Limits(per_minute=2),
}
"""Of the accounts."""

Answer = str | list[str]
"""To a request: a word, or the keys of the jobs that answer it already."""


class ModelJob(Struct, kw_only=True):
    """One job.

    `is_due`: its lease, its pause or its retention is over. `is_silent`: its lease was over once
    and is not renewed since. `is_alone`: it lost its worker before its last attempt, which
    therefore may cost no other job its own.
    """

    account: str
    kind: Kind
    attempts: int
    fingerprint: str
    reuse_seconds: int
    state: State
    version: int = 1
    token: int = 0
    attempt: int = 0
    is_delayed: bool = False
    is_due: bool = False
    is_silent: bool = False
    is_alone: bool = False
    sizes: tuple[int, ...] = ()
    """Of the files that it ended with and still has."""

    @property
    def has_ended(self) -> bool:
        return self.state in ("success", "error")


class Model:
    """Knows what each job has come to; in which order jobs are claimed it leaves to the store."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.reuse: dict[str, str] = {}
        self.fading: set[str] = set()
        self.requests: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self.created: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.days: dict[str, int] = {}

    # Transitions, in the order a job goes through them.

    def submit(self, request: Submission) -> Answer:
        answer = self._repeated(request) or self._reused(request.fingerprint)
        if answer:
            return answer
        account, limits, count = request.account, request.limits, len(request.jobs)
        if limits.queued and self.count(account, "queued") + count > limits.queued:
            return "queued"
        if limits.per_minute and self.created[account] + count > limits.per_minute:
            return "per_minute"
        if limits.per_minute:
            self.created[account] += count
        self._add(request)
        if request.idempotency:
            keys = [job.key for job in request.jobs]
            self.requests[account, request.idempotency.key] = (request.idempotency.body, keys)
        return "accepted"

    def claim(self, key: str) -> ModelJob:
        job = self.jobs[key]
        assert job.state == "queued"
        assert not job.is_delayed
        job.token += 1
        job.attempt += 1
        self._move(job, "executing")
        return job

    def renew(self, key: str, token: int) -> bool:
        is_held = self.holds(key, token)
        if is_held:
            self.jobs[key].is_due = self.jobs[key].is_silent = False
        return is_held

    def progress(self, key: str, token: int) -> bool:
        is_held = self.holds(key, token)
        if is_held:
            self.jobs[key].version += 1
        return is_held

    def finish(self, key: str, token: int, state: State, sizes: tuple[int, ...]) -> bool:
        is_held = self.holds(key, token)
        if is_held:
            self._end(key, state)
            self.jobs[key].sizes = sizes
        return is_held

    def retry(self, key: str, token: int, *, is_paused: bool, is_counted: bool) -> bool:
        is_held = self.holds(key, token)
        if is_held:
            job = self.jobs[key]
            job.attempt -= not is_counted
            self._move(job, "queued", is_delayed=is_paused)
        return is_held

    def reap(self, limit: int) -> Reaped:
        promoted = self._due("queued")[:limit]
        due = self._due("executing")[:limit]
        silent = [key for key in due if not self.jobs[key].is_silent]
        lost = [key for key in due if key not in silent]
        failed = [key for key in lost if self.jobs[key].attempt >= self.jobs[key].attempts]
        requeued = [key for key in lost if key not in failed]
        for key in promoted:
            self.jobs[key].is_delayed = self.jobs[key].is_due = False
        for key in silent:
            self.jobs[key].is_due, self.jobs[key].is_silent = False, True
        for key in requeued:
            job = self.jobs[key]
            job.is_alone |= 1 < job.attempts == job.attempt + 1
            self._move(job, "queued")
        for key in failed:
            self._end(key, "error")
        return Reaped(promoted, silent, requeued, failed)

    def cancel(self, keys: Iterable[str]) -> list[str]:
        """Returns those whose workers must stop."""
        stopped = []
        for key in keys:
            job = self.jobs.get(key)
            if job and not job.has_ended:
                stopped += [key] if job.state == "executing" else []
                self._end(key, "error")
        return stopped

    def expired(self) -> list[str]:
        return self._due("success", "error")

    def forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._drop_reuse(key)
            del self.jobs[key]

    # Files.

    def unstore_last(self, key: str) -> None:
        """Delete one file; a job that has no other is kept anew, as one without any."""
        job = self.jobs[key]
        self._drop_reuse(key)
        job.sizes = job.sizes[:-1]
        job.is_due &= bool(job.sizes)

    def set_lifetime(self, account: str, days: int) -> None:
        self.days[account] = days
        for job in self.jobs.values():
            if job.account == account and job.sizes:
                job.is_due = False

    def sizes(self, account: str) -> list[int]:
        """Of all stored files."""
        jobs = [job for job in self.jobs.values() if job.account == account]
        return sorted(size for job in jobs for size in job.sizes)

    # Time.

    def pass_time(self, key: str) -> None:
        """What the job waits for is over: its lease, its pause or its retention."""
        job = self.jobs.get(key)
        if job and (job.is_delayed or job.state != "queued"):
            job.is_due = True

    def fade(self) -> None:
        """Nobody remembers which requests were made, or what may be reused, any more."""
        for fingerprint in self.fading:
            del self.reuse[fingerprint]
        self.fading.clear()
        self.requests.clear()
        self.created.clear()

    def count(self, account: str, state: State) -> int:
        return sum(job.account == account and job.state == state for job in self.jobs.values())

    def holds(self, key: str, token: int) -> bool:
        job = self.jobs.get(key)
        return job is not None and job.state == "executing" and job.token == token

    def open_keys(self) -> list[str]:
        return [key for key, job in self.jobs.items() if not job.has_ended]

    def _drop_reuse(self, key: str) -> None:
        fingerprint = self.jobs[key].fingerprint
        if self.reuse.get(fingerprint) == key:
            del self.reuse[fingerprint]
            self.fading.discard(fingerprint)

    def _repeated(self, request: Submission) -> Answer | None:
        if not request.idempotency:
            return None
        known = self.requests.get((request.account, request.idempotency.key))
        if not known:
            return None
        body, keys = known
        if body != request.idempotency.body:
            return "conflict"
        return keys if all(key in self.jobs for key in keys) else None

    def _reused(self, fingerprint: str) -> Answer | None:
        key = self.reuse.get(fingerprint)
        return [key] if key else None

    def _add(self, request: Submission) -> None:
        for job, update in zip(request.jobs, request.updates, strict=True):
            if job.key in self.jobs:
                continue
            added = self.jobs[job.key] = ModelJob(
                account=job.account,
                kind=job.kind,
                attempts=job.attempts,
                fingerprint=request.fingerprint,
                reuse_seconds=request.reuse_seconds,
                state=update.state,
            )
            if added.has_ended:
                self.ended[added.state] += 1
            elif request.fingerprint:
                self.reuse[request.fingerprint] = job.key

    def _move(self, job: ModelJob, state: State, *, is_delayed: bool = False) -> None:
        job.state, job.is_delayed = state, is_delayed
        job.is_due = job.is_silent = False
        job.version += 1

    def _end(self, key: str, state: State) -> None:
        job = self.jobs[key]
        self._move(job, state)
        self.ended[state] += 1
        if not job.fingerprint:
            return
        if state == "success" and job.reuse_seconds:
            self.fading.add(job.fingerprint)
        else:
            del self.reuse[job.fingerprint]

    def _due(self, *states: State) -> list[str]:
        """In the order of the store: all are due since the same moment."""
        return sorted(key for key, job in self.jobs.items() if job.is_due and job.state in states)
