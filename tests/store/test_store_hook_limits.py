"""How many deliveries of web hooks are under way at once: to one receiver, and of one account."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from dragon.schemas import Claim
from dragon.settings import Limits
from dragon.store.store import Store
from tests.store.test_store_hooks import BOTH, ended, ended_of, params_of, tried
from tests.support.jobs import submission
from tests.support.stores import claim, counters, finish, submit


async def claim_all(store: Store) -> Sequence[Claim]:
    """Until none is left to claim: a claim may only bring back what was parked."""
    held: list[Claim] = []
    while await store.client.exists(store.keys.base(0) + "ready:hook"):
        held += await claim(store, kind="hook")
    return held


def hosts(held: Sequence[Claim]) -> Counter[str]:
    return Counter(params_of(one)["url"].split("/")[2] for one in held)


async def test_an_account_whose_receivers_all_hang_leaves_slots_to_others(store: Store) -> None:
    for number in range(8):
        host = f"receiver{number}"
        await ended(store, *BOTH, connections=2, whole_connections=5, host=host)
    hanging = [*await claim(store, 10, kind="hook")]
    assert len(hanging) == 5
    assert await claim(store, 10, kind="hook") == []
    await ended_of(store, "other")
    assert [one.job.account for one in await claim(store, 10, kind="hook")] == ["other"]
    # Whatever frees one, the next gets its room, and no more.
    assert await tried(store, hanging.pop(), "success")
    hanging += await claim(store, 10, kind="hook")
    assert await tried(store, hanging.pop(), "queued", 60)
    hanging += await claim(store, 10, kind="hook")
    assert len(hanging) == 5
    assert len(hosts(hanging)) == 5


async def test_room_for_the_account_is_not_kept_for_a_receiver_that_has_none(store: Store) -> None:
    for host in ("first", "second", "slow", "slow", "slow", "third"):
        await ended(store, *BOTH, host=host, connections=2, whole_connections=3)
    first, second, *held = await claim_all(store)
    assert hosts(held) == {"slow": 1}
    # The others wait for the account's room, though the receiver had some.
    assert await tried(store, first, "success")
    held += await claim_all(store)
    assert hosts(held) == {"slow": 2}
    assert await tried(store, second, "success")
    held += await claim_all(store)
    assert hosts(held) == {"slow": 2, "third": 1}
    assert await tried(store, held[0], "success")
    assert hosts(await claim_all(store)) == {"slow": 1}


@pytest.mark.parametrize(
    "host", ["Receiver", "receiver:80", "receiver.", "RECEIVER.:080", "receiver:"]
)
async def test_a_receiver_is_the_same_however_it_is_written(store: Store, host: str) -> None:
    await ended(store, *BOTH, connections=1)
    await ended(store, *BOTH, connections=1, host=host)
    assert len(await claim(store, 10, kind="hook")) == 1


async def test_another_port_is_another_receiver_and_what_is_no_address_is_none(
    store: Store,
) -> None:
    await ended(store, *BOTH, connections=1)
    for host in ("receiver:81", "[]@"):
        await ended(store, *BOTH, connections=1, host=host)
    assert len(await claim(store, 10, kind="hook")) == 3


@pytest.mark.parametrize("limits", [{"connections": 1}, {"whole_connections": 1}])
async def test_a_delivery_that_was_parked_has_taken_one_turn(
    store: Store, limits: dict[str, Any]
) -> None:
    for _ in range(3):
        await ended(store, *BOTH, **limits)
    for _ in range(3):
        [held] = await claim_all(store)
        assert await tried(store, held, "success")
    finishes: Any = store.client.hgetall(store.keys.base(0) + "fair:hook")
    assert float((await finishes)[b"@acme"]) == 3


async def test_jobs_are_not_parked_for_ever_where_too_many_are_counted(store: Store) -> None:
    """As it may be once two versions of Dragon have run together."""
    [first, _] = await submit(store, submission(store, 2, limits=Limits(running=1)))
    [held] = await claim(store)
    counted: Any = store.client.hincrby(store.keys.base(0) + "running", "acme", 1)
    assert await counted == 2
    await finish(store, held)
    assert await claim(store) == []
    await store.reap(0)
    [held] = await claim(store)
    assert held.job.key != first
    await finish(store, held)
    assert await counters(store) == {}
