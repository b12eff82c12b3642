"""Every transition of a job as one method, and what can be read of jobs."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import msgspec
from msgspec import Struct

from dragon.background import Background
from dragon.errors import Conflict, LeaseLost, OverLimits, Unavailable
from dragon.schemas import (
    Claim,
    Kind,
    OutputFile,
    Reaped,
    Record,
    State,
    Ticket,
    Update,
    decode_claims,
    decode_files,
    decode_ticket,
    encode,
)
from dragon.settings import Settings
from dragon.store.batch import MAX_SIZE, Batch
from dragon.store.clock import StoreClock
from dragon.store.connection import connect, load_scripts, translated_errors
from dragon.store.keys import Keys
from dragon.store.offer import Offer
from dragon.store.submission import Submission, pack

QUEUED_RETRY_SECONDS = 5
"""When an account that has too many jobs queued may try again: nobody knows how long they take."""


class Claims(Struct, frozen=True, kw_only=True):
    """What a worker got; the kinds that it had free slots for and that have more jobs ready; and
    how many jobs wait to run alone."""

    claims: list[Claim]
    left: frozenset[Kind]
    alone: int


class _Finish(NamedTuple):
    claim: Claim
    state: State
    line: bytes
    files: bytes
    offer: Offer | None


class Store:
    """Jobs in Valkey. Every method raises Unavailable when Valkey does not answer in time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.keys = Keys(settings.redis_prefix, settings.shards)
        self.clock = StoreClock()
        self.timeout_seconds = settings.redis_timeout_seconds
        # A worker that is not heard of for one half is silent, and for the other one lost: so
        # after an outage, in which nobody could renew, there is time to do so.
        self._half_lease_ms = int(settings.lease_seconds * 500)
        self.client = connect(settings.redis, settings.redis_timeout_seconds)
        self._scripts = load_scripts(self.client)
        self._background = Background()
        batch = partial(Batch, self._background.start, settings.redis_timeout_seconds)
        shards = range(settings.shards)
        self._submits = [
            batch(partial(self._send_submits, shard), Submission.count_jobs) for shard in shards
        ]
        self._finishes = [batch(partial(self._send_finishes, shard)) for shard in shards]
        self._progresses = [batch(partial(self._send_progresses, shard)) for shard in shards]
        self._reads = batch(self._send_reads)

    async def __aenter__(self) -> Self:
        # Out of reach now, it may be there when it is needed.
        with contextlib.suppress(Unavailable):
            await self.read_clock()
            # Again, for the first answer took the time of connecting, too.
            await self.read_clock()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._background.close()
        await self.client.aclose()

    # Transitions, in the order a job goes through them.

    async def submit(self, submission: Submission) -> list[Ticket] | None:
        """Queue all jobs of a request; or return the tickets of those that answer it already.

        Raises OverLimits, Conflict or LeaseLost, and then nothing is queued.
        """
        answer = await self._submits[submission.shard].add(submission)
        if answer[0] == b"answered":
            return [decode_ticket(ticket) for ticket in answer[1:]]
        if answer[0] == b"conflict":
            raise Conflict("another request was made with this Idempotency-Key")
        if answer[0] == b"lost":
            raise LeaseLost("the job was taken away")
        if answer[0] == b"queued":
            words = f"this account may have {answer[1]} tasks queued"
            raise _over_limits(words, answer[1], len(submission.jobs), QUEUED_RETRY_SECONDS)
        if answer[0] == b"per_minute":
            limit = submission.limits.per_minute or 0
            words = f"this account may create {limit} tasks a minute"
            raise _over_limits(words, limit, len(submission.jobs), -(-answer[1] // 1000))
        return None

    async def claim(
        self,
        worker: str,
        free_slots: Mapping[Kind, int],
        shard: int,
        *,
        is_alone: bool = False,
        offer: Offer | None = None,
    ) -> Claims:
        """Take up to that many jobs of each kind, or with `is_alone` of those that need that.

        What is free then stays offered, if that is open.
        """
        offer = offer or Offer(worker, free_slots, is_made=False)
        fours = [
            part
            for kind, free in free_slots.items()
            for part in (kind, free, offer.limit(kind), offer.got[kind])
        ]
        asked_at = time.monotonic()
        source = "alone" if is_alone else "ready"
        arguments = [worker, offer.number, self.clock.iso(), self._half_lease_ms, source, *fours]
        now_us, left, given, alone, packed = await self.run("claim", shard, arguments)
        self.clock.set(now_us / 1e6, asked_at)
        offer.note_given(dict(zip(free_slots, given, strict=False)))
        return Claims(
            claims=decode_claims(packed) if packed else [],
            left=frozenset(kind for kind, count in zip(free_slots, left, strict=False) if count),
            alone=alone,
        )

    async def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Prolong the leases; returns the claims that are held no longer."""
        shards: dict[int, list[Claim]] = {}
        for claim in claims:
            shards.setdefault(self.keys.shard_of(claim.job.key), []).append(claim)
        lost: list[Claim] = []
        for shard, held in shards.items():
            pairs = [part for claim in held for part in (claim.job.key, claim.token)]
            places = await self.run("renew", shard, [self._half_lease_ms, *pairs])
            lost += [held[place] for place in places]
        return lost

    async def progress(self, claim: Claim, line: bytes, files: Sequence[OutputFile] = ()) -> bool:
        """Publish a newer status of a running job; False if it is held no longer.

        `files` are all that it kept so far; none leaves those of before.
        """
        batch = self._progresses[self.keys.shard_of(claim.job.key)]
        kept = encode(files) if files else b""
        return bool(await batch.add((claim.job.key, claim.token, line, kept)))

    async def finish(
        self,
        claim: Claim,
        state: State,
        line: bytes,
        files: Sequence[OutputFile],
        offer: Offer | None = None,
    ) -> bool:
        """End a running job, whose slot is free; False if it is held no longer, and stays so."""
        batch = self._finishes[self.keys.shard_of(claim.job.key)]
        return bool(await batch.add(_Finish(claim, state, line, encode(files), offer)))

    async def retry(
        self, claim: Claim, line: bytes, *, pause_seconds: float, is_counted: bool
    ) -> bool:
        """Queue a running job again; False if it is held no longer."""
        key, pause_ms = claim.job.key, int(pause_seconds * 1000)
        arguments = [key, claim.token, line, pause_ms, int(is_counted)]
        return bool(await self.run("retry", self.keys.shard_of(key), arguments))

    async def reap(self, shard: int, limit: int = 100) -> Reaped:
        """Move what is due."""
        arguments = [self.clock.iso(), limit, self._half_lease_ms]
        answer = await self.run("reap", shard, arguments)
        return Reaped(*([key.decode() for key in keys] for keys in answer))

    async def cancel(self, keys: Sequence[str]) -> None:
        """End jobs that have not ended; their workers are told to stop them."""
        for shard in range(self.keys.shards):
            mine = [key for key in keys if self.keys.shard_of(key) == shard]
            for start in range(0, len(mine), MAX_SIZE):
                await self.run("cancel", shard, mine[start : start + MAX_SIZE])

    async def expire(self, shard: int, limit: int, hold_seconds: float) -> list[Record]:
        """Ended jobs whose time is over, oldest first; nobody else gets them for so long.

        They are to be forgotten, once their files are deleted. Their lines are left out.
        """
        answer = await self.run("expire", shard, [limit, int(hold_seconds * 1000)])
        records = [_record(key.decode(), fields) for key, *fields in answer]
        return [record for record in records if record]

    async def forget(self, shard: int, keys: Sequence[str]) -> None:
        """Delete the records of expired jobs."""
        await self.run("forget", shard, keys)

    # Reading.

    async def read_clock(self) -> None:
        """Take over Valkey's time."""
        asked_at = time.monotonic()
        async with translated_errors():
            seconds, microseconds = await self.client.time()
        self.clock.set(seconds + microseconds / 1e6, asked_at)

    async def read(self, keys: Sequence[str]) -> list[Record | None]:
        """The records of jobs, None for each that is unknown or expired."""
        return await asyncio.gather(*(self._reads.add(key) for key in keys))

    async def read_jobs(self, keys: Sequence[str]) -> list[bytes | None]:
        """The jobs themselves, as they are kept: what was asked for, however large that is."""
        async with translated_errors(), self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hget(self.keys.job(key), "job")
            return list(await pipeline.execute())

    # How the batches travel.

    async def _send_submits(self, shard: int, submissions: Sequence[Submission]) -> Any:
        return await self.run("submit", shard, [pack(submissions), self.clock.iso()])

    async def _send_finishes(self, shard: int, finishes: Sequence[_Finish]) -> Any:
        # A process has one offer at most.
        offer = finishes[0].offer
        more = ["", 0, ""]
        if offer:
            kinds = {finish.claim.job.kind for finish in finishes}
            more = [offer.worker, offer.number, msgspec.msgpack.encode(offer.limits(kinds))]
        fives = [
            part
            for claim, state, line, files, _ in finishes
            for part in (claim.job.key, claim.token, state, line, files)
        ]
        return await self.run("finish", shard, [*more, *fives])

    async def _send_progresses(self, shard: int, progresses: Sequence[tuple[Any, ...]]) -> Any:
        return await self.run("progress", shard, [part for parts in progresses for part in parts])

    async def _send_reads(self, keys: Sequence[str]) -> list[Record | None]:
        # Whoever waits for the same job reads it at the same moment.
        distinct = list(dict.fromkeys(keys))
        async with translated_errors(), self.client.pipeline(transaction=False) as pipeline:
            for key in distinct:
                pipeline.hmget(self.keys.job(key), *_RECORD_FIELDS)
            answers = await pipeline.execute()
        records = {key: _record(key, answer) for key, answer in zip(distinct, answers, strict=True)}
        return [records[key] for key in keys]

    async def run(self, name: str, shard: int, arguments: Sequence[Any]) -> Any:
        """What the script of that name answers, which moves jobs of one shard."""
        async with translated_errors():
            return await self._scripts[name](
                keys=[self.keys.base(shard)], args=[self.keys.channels, *arguments]
            )


def _over_limits(words: str, limit: int, count: int, retry_after_seconds: int) -> OverLimits:
    advice = "split the request" if count > limit else "try again later"
    return OverLimits(
        f"{words}, and {count} more would be over that: {advice}", retry_after_seconds
    )


_RECORD_FIELDS = (
    "version", "state", "line", "task", "kind", "account", "queued", "files", "expires", "attempt",
)  # fmt: skip


def _record(key: str, fields: Sequence[bytes | None]) -> Record | None:
    version, state, line, *ticket, files, expires, attempt = fields
    if version is None or state is None or line is None or None in ticket:
        return None
    task, kind, account, queued = (text.decode() for text in ticket if text is not None)
    made = decode_files(files) if files else ()
    return Record(
        update=Update(key, int(version), state.decode(), line),  # type: ignore[arg-type]
        job=Ticket(key=key, task=task, kind=kind, account=account, queued=queued),  # type: ignore[arg-type]
        files=tuple(file for file in made if not file.deleted),
        deleted=tuple(file for file in made if file.deleted),
        expires=float(expires) / 1000 if expires else 0.0,
        attempt=int(attempt or 0),
    )
