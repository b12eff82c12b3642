"""Requests as hypothesis draws them, and the same as the engine hands them to the store."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from dragon.errors import Conflict, OverLimits
from dragon.schemas import CHANNEL_LENGTH, KEY_LENGTH, Kind, State, Update
from dragon.store.store import Store
from dragon.store.submission import Idempotency, Submission
from tests.store.model import LIMITS, Answer
from tests.support.jobs import line_of, submission

T = TypeVar("T")

REMEMBERED_SECONDS = 1000
WEIGHTS = {"free": 1.0, "one": 4.0, "two": 0.5, "slow": 1.0}


class Draft(Struct, frozen=True, kw_only=True):
    """A request before its jobs have keys."""

    account: str
    kind: Kind
    states: list[State]
    attempts: int
    is_reusable: bool
    reuse_seconds: int
    idempotency: str
    body: str


DRAFTS = st.builds(
    Draft,
    account=st.sampled_from(["one", "one", "two", "two", "free", "slow"]),
    kind=st.sampled_from(["fast", "heavy"]),
    states=st.lists(st.sampled_from(["queued", "queued", "error"]), min_size=1, max_size=3),
    attempts=st.sampled_from([2, 2, 1, 3]),
    is_reusable=st.booleans(),
    reuse_seconds=st.sampled_from([0, REMEMBERED_SECONDS]),
    idempotency=st.sampled_from(["", "", "I", "J"]),
    body=st.sampled_from(["body", "body", "other"]),
)


class Desk:
    """Makes requests of drafts, with keys that are the same in every run: they decide ties."""

    def __init__(self) -> None:
        self._drawn = 0

    def request(self, store: Store, draft: Draft) -> Submission:
        plain = submission(
            store,
            len(draft.states),
            account=draft.account,
            kind=draft.kind,
            limits=LIMITS[draft.account],
            weight=WEIGHTS[draft.account],
            attempts=draft.attempts,
            # The same request means one job, and the same account.
            fingerprint=draft.account if draft.is_reusable and len(draft.states) == 1 else "",
            reuse_seconds=draft.reuse_seconds,
        )
        jobs = tuple(msgspec.structs.replace(job, key=self._new_key()) for job in plain.jobs)
        rows = zip(jobs, draft.states, strict=True)
        known = Idempotency(key=draft.idempotency, body=draft.body, seconds=REMEMBERED_SECONDS)
        return msgspec.structs.replace(
            plain,
            jobs=jobs,
            updates=tuple(Update(job.key, 1, s, line_of(job.key, s)) for job, s in rows),
            idempotency=known if draft.idempotency else None,
        )

    def _new_key(self) -> str:
        """Of one of two channels."""
        self._drawn += 1
        rest, digits = self._drawn, ""
        while len(digits) < KEY_LENGTH - CHANNEL_LENGTH:
            rest, digit = divmod(rest, 26)
            digits = chr(ord("A") + digit) + digits
        return ("AAA", "BBB")[self._drawn % 2] + digits


async def together(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """In one tick, so that they travel as one batch."""
    return await asyncio.gather(*calls)


async def answer(store: Store, request: Submission) -> Answer:
    """In the words of the model."""
    try:
        answered = await store.submit(request)
    except Conflict:
        return "conflict"
    except OverLimits as error:
        return "per_minute" if "a minute" in str(error) else "queued"
    return "accepted" if answered is None else [ticket.key for ticket in answered]
