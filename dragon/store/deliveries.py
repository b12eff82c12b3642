"""Deliveries of web hooks: what runs them, what reads them, what makes them once more."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from dragon.schemas import KEY_LENGTH, Claim, HookParams, State, decode_job, encode
from dragon.store.clock import iso
from dragon.store.connection import translated_errors
from dragon.store.store import Store

DeliveryState = Literal["pending", "delivered", "failed"]

DELIVERY_STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
_STATE_OF: dict[str, DeliveryState] = {
    "queued": "pending",
    "executing": "pending",
    "success": "delivered",
    "error": "failed",
}


class Try(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request: when, how long it took, and what came of it."""

    at: str
    seconds: float | None = None
    status: int | None = None
    error: str = ""


class HookDelivery(Struct, frozen=True, kw_only=True):
    """A delivery as its account sees it."""

    id: str
    task: str
    event: State
    url: str
    state: DeliveryState
    created: str
    next_attempt: str | UnsetType = UNSET
    attempts: list[Try]


class Page(Struct, frozen=True, kw_only=True):
    """Some deliveries, newest first; `next` is where those after them begin, if there are any."""

    deliveries: list[HookDelivery]
    next: str | None = None


class Deliveries:
    """Of all accounts. Every method raises Unavailable when Valkey does not answer in time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    async def body(self, key: str) -> bytes | None:
        """What a delivery sends, None if it is gone."""
        async with translated_errors():
            body: Any = await self._store.client.hget(self._keys.job(key), "body")
        return body if isinstance(body, bytes) else None

    async def tried(
        self, claim: Claim, state: State, line: bytes, how: Try, *, pause_seconds: float = 0
    ) -> bool:
        """Record a try, and end the delivery or queue it again; False if it is held no longer."""
        key, pause_ms = claim.job.key, int(pause_seconds * 1000)
        arguments = [key, claim.token, state, line, pause_ms, encode(how)]
        return bool(await self._store.run("tried", self._keys.shard_of(key), arguments))

    async def replay(self, account: str, key: str) -> bool:
        """Queue a delivery once more, or at once; False if the account has none of that key."""
        return bool(await self._store.run("replay", self._keys.shard_of(key), [key, account]))

    async def page(
        self, account: str, state: DeliveryState | None, limit: int, after: str | None
    ) -> Page:
        """Deliveries of the account, from the one after `after` on."""
        members = await self._members(account, (state,) if state else DELIVERY_STATES, limit, after)
        keys = [member[-KEY_LENGTH:] for member in members[:limit]]
        found = await self.read(account, keys)
        return Page(deliveries=found, next=members[limit - 1] if len(members) > limit else None)

    async def read(self, account: str, keys: Sequence[str]) -> list[HookDelivery]:
        """Those of these keys that are deliveries of the account."""
        async with translated_errors(), self._store.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                base = self._keys.base(self._keys.shard_of(key))
                pipeline.hmget(self._keys.job(key), "job", "state")
                pipeline.lrange(f"{base}tries:{key}", 0, -1)
                pipeline.zscore(base + "delayed", key)
            answers = await pipeline.execute()
        found = map(_delivery, answers[::3], answers[1::3], answers[2::3])
        return [delivery for owner, delivery in filter(None, found) if owner == account]

    async def _members(
        self, account: str, states: Sequence[DeliveryState], limit: int, after: str | None
    ) -> list[str]:
        """The newest of all lists, and one more if there are more."""
        newest = f"({after}" if after else "+"
        async with translated_errors(), self._store.client.pipeline(transaction=False) as pipeline:
            for shard in range(self._keys.shards):
                for state in states:
                    name = f"{self._keys.base(shard)}deliveries:{state}:{account}"
                    pipeline.zrevrangebylex(name, newest, "-", 0, limit + 1)
            answers = await pipeline.execute()
        # One that ends meanwhile stands in two lists.
        members = {member.decode() for answer in answers for member in answer}
        return sorted(members, reverse=True)[: limit + 1]


def _delivery(
    fields: Sequence[bytes | None], tries: Sequence[bytes], due_ms: float | None
) -> tuple[str, HookDelivery] | None:
    """A delivery and its account; None for what is none."""
    blob, state = fields
    if blob is None or state is None:
        return None
    job = decode_job(blob)
    if job.kind != "hook":
        return None
    params = msgspec.json.decode(job.params, type=HookParams)
    return job.account, HookDelivery(
        id=job.key,
        task=params.task,
        event=params.event,
        url=params.url,
        state=_STATE_OF[state.decode()],
        created=job.queued,
        next_attempt=UNSET if due_ms is None else iso(due_ms / 1000),
        attempts=[msgspec.json.decode(one, type=Try) for one in tries],
    )
