"""All transitions at random, on a real Valkey: the counters hold, and the index of files."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from dragon.errors import LeaseLost
from dragon.schemas import KINDS, Claim, Record
from dragon.settings import Limits, Settings
from dragon.store.offer import Offer
from dragon.store.store import Store
from dragon.store.stored import StoredIndex
from tests.store.takers import Sent, listening, offer_slots
from tests.support.jobs import child_of, hooked, line_of, submission
from tests.support.stores import (
    counters,
    expire_leases,
    finish,
    forget_all,
    made,
    retry,
    short_lease,
    submit,
)
from tests.support.waiting import DEADLINE_SECONDS

TASK_KINDS = [kind for kind in KINDS if kind != "hook"]


@pytest.mark.parametrize("seed", range(6))
async def test_counters_hold_through_any_mix_and_return_to_zero(
    settings: Settings, seed: int
) -> None:
    mix = random.Random(seed)
    async with (
        Store(settings) as store,
        short_lease(settings) as hasty,
        listening(store, "taker") as sent,
    ):
        offer = Offer("taker", dict.fromkeys(KINDS, 3))
        held: list[Claim] = []
        keys: list[str] = []
        for _ in range(120):
            await step(mix, store, hasty, offer, held, keys)
            await step_of_files(mix, store, keys)
            held += await receive(store, sent, offer)
            records = [record for record in await store.read(keys) if record]
            # Deliveries are jobs too, and count for nobody.
            counted = [record for record in records if is_counted(record)]
            assert sum((await counters(store)).values()) == len(counted)
            await check_stored(store, records)
        await run_all(store, keys)
        assert await counters(store) == {}
        assert {record.update.is_final for record in await store.read(keys) if record} == {True}
        assert await undelivered(store, keys) == 0
        await forget_all(store)
        await check_stored(store, [])
        names = ["leases", "delayed", "expiry", *(f"ready:{kind}" for kind in KINDS)]
        counts = [await store.client.zcard(store.keys.base(0) + name) for name in names]
        assert counts == [0] * len(names)
        for name in ("running", "parked*", "children:*", "stored:*", "job:*"):
            found = store.client.scan_iter(store.keys.base(0) + name)
            assert not [name async for name in found]


async def undelivered(store: Store, keys: list[str]) -> int:
    """How many of the jobs whose end is told have no delivery that has ended."""
    client: Any = store.client
    told: int = sum([await client.hexists(store.keys.job(key), "hook") for key in keys])
    lists = [
        f"{store.keys.base(0)}deliveries:{outcome}:{account}"
        for outcome in ("delivered", "failed")
        for account in ("free", "one", "two")
    ]
    for name in lists:
        told -= await client.zcard(name)
    return told


async def check_stored(store: Store, records: list[Record]) -> None:
    """The index has the files of all jobs that have ended, and of no other."""
    index = StoredIndex(store)
    for account in ACCOUNTS:
        files = [
            (file.path.partition("/")[2], file.size)
            for record in records
            if record.update.is_final and record.job.account == account
            for file in record.files
        ]
        entries = await index.page(account, 0, "", "", 1000)
        assert [(entry.path, entry.size) for entry in entries] == sorted(files)
        assert await index.usage(account) == sum(size for _, size in files)


ACCOUNTS: dict[str, int | None] = {"free": None, "one": 1, "two": 2}
"""How many jobs each may run."""


def is_counted(record: Record) -> bool:
    """All that wait, and those that run, but not those that only wait for others."""
    state = record.update.state
    return state == "queued" or (state == "executing" and record.job.kind != "flow")


async def step(
    mix: random.Random,
    store: Store,
    hasty: Store,
    offer: Offer,
    held: list[Claim],
    keys: list[str],
) -> None:
    """One transition at random, also by workers that hold their job no longer."""
    choice = mix.randrange(11)
    if choice == 0:
        account, running = mix.choice(list(ACCOUNTS.items()))
        kind = mix.choice(TASK_KINDS)
        request = submission(
            store, mix.randint(1, 5), account=account, kind=kind, limits=Limits(running=running)
        )
        connections = mix.randint(0, 2)
        request = hooked(store, request, "success", "error", connections=connections)
        keys += await submit(store, request)
    elif choice == 1:
        slots = {kind: mix.randint(0, 3) for kind in KINDS}
        held += (await mix.choice([store, hasty]).claim("worker", slots, 0)).claims
    elif choice == 2:
        await store.reap(0)
    elif choice == 9:
        held += await offer_slots(store, offer)
    elif choice == 10:
        offer.renew()
    elif held:
        late = mix.choice(held)
        if choice == 3:
            await store.progress(late, line_of(late.job.key, "executing"))
        elif choice == 4:
            for lost in await store.renew(held):
                offer.free(lost)
        elif choice == 5:
            offer.free(late)
            await retry(store, late, mix.choice([0, 0.01]), is_counted=mix.choice([True, False]))
        elif choice == 8 and late.job.kind == "flow":
            child = child_of(store, late, kind=mix.choice(TASK_KINDS), place=mix.randint(1, 3))
            with contextlib.suppress(LeaseLost):
                await store.submit(child)
                keys += {child.jobs[0].key} - set(keys)
        else:
            offer.free(late)
            sizes = mix.choice([(), (3,), (4, 5)]) if late.job.kind != "hook" else ()
            files = made(late, *sizes)
            await finish(store, late, mix.choice(["success", "error"]), offer, files)


async def step_of_files(mix: random.Random, store: Store, keys: list[str]) -> None:
    """What may befall files once their jobs have ended."""
    choice, index = mix.randrange(12), StoredIndex(store)
    if choice == 0:
        await index.set_lifetime(mix.choice(list(ACCOUNTS)), mix.choice([0, 1, 7]))
    elif choice == 1:
        client: Any = store.client
        for key in await client.zrange(store.keys.base(0) + "expiry", 0, 0):
            # Jobs whose end is told, and what tells it, are counted at the end.
            kind, hook = await client.hmget(store.keys.job(key.decode()), "kind", "hook")
            if kind != b"hook" and not hook:
                await store.forget(0, [key.decode()])
    elif choice == 2 and keys:
        key = mix.choice(keys)
        for file in (await index.files("one", [key]))[:1]:
            await index.unstore("one", 0, {key: [file.path.partition("/")[2]]})


async def receive(store: Store, sent: Sent, offer: Offer) -> list[Claim]:
    """What was sent to the worker that offers, with what it hands back of older offers."""
    claims = []
    for delivery in await sent():
        for claim in delivery.claims:
            claims.append(claim)
            if delivery.number == offer.number:
                offer.take(claim)
            else:
                assert await retry(store, claim, is_counted=False)
    return claims


async def run_all(store: Store, keys: list[str]) -> None:
    """Run until nothing is queued or running."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await counters(store) or await undelivered(store, keys):
            await store.reap(0)
            slots = dict.fromkeys(KINDS, 50)
            claims = (await store.claim("worker", slots, 0)).claims
            claims += (await store.claim("worker", slots, 0, is_alone=True)).claims
            await asyncio.gather(*(finish(store, held) for held in claims))
            await expire_leases(store)
