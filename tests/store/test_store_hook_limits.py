"""Which deliveries of web hooks come next, and how many are under way at once."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from dragon.schemas import Claim
from dragon.store.store import Store
from tests.store.delivering import BOTH, claim_delivery, ended, params_of, tried
from tests.support.stores import claim, reap


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
    await ended(store, *BOTH, account="other")
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


async def test_what_waited_for_long_does_not_come_before_what_others_send(store: Store) -> None:
    """Deliveries to a receiver that is dead are due again and again."""
    for _ in range(6):
        await ended(store, *BOTH)
    for held in await claim(store, kind="hook"):
        await tried(store, held, "queued", 0.001)
    # Time passes by what others do meanwhile.
    for _ in range(20):
        await ended(store, *BOTH, account="other")
        await tried(store, await claim_delivery(store), "success")
    for _ in range(6):
        await ended(store, *BOTH, account="other")
    promoted = 0
    while promoted < 6:
        promoted += len((await reap(store))[0])
    first = await claim(store, 6, kind="hook")
    # By turns; of two with the same turn either may be first.
    assert [held.job.account for held in first].count("other") in (2, 3, 4)


@pytest.mark.parametrize("pause_seconds", [0, 0.001])
async def test_each_try_takes_one_turn(store: Store, pause_seconds: float) -> None:
    await ended(store, *BOTH)
    await tried(store, await claim_delivery(store), "queued", pause_seconds)
    if pause_seconds:
        await reap(store)
    await claim_delivery(store)
    finishes: Any = store.client.hgetall(store.keys.base(0) + "fair:hook")
    assert float((await finishes)[b"@acme"]) == 2


async def test_one_receiver_gets_so_many_at_once_and_the_others_do_not_wait_for_it(
    store: Store,
) -> None:
    for _ in range(5):
        await ended(store, *BOTH, connections=2)
    slow = [*await claim(store, 10, kind="hook")]
    assert len(slow) == 2
    assert await claim(store, 10, kind="hook") == []
    # Another receiver of the account's, and this one of another account's.
    await ended(store, "error", state="error", connections=2, host="RECEIVER:81")
    await ended(store, *BOTH, account="other")
    others = await claim(store, 10, kind="hook")
    assert sorted(one.job.account for one in others) == ["acme", "other"]
    # Whatever frees the receiver, the next one gets its room.
    assert await tried(store, slow.pop(), "success")
    slow += await claim(store, 10, kind="hook")
    assert await tried(store, slow.pop(), "queued", 60)
    slow += await claim(store, 10, kind="hook")
    assert await store.retry(slow[0], b"{}", pause_seconds=0, is_counted=False)
    assert len(await claim(store, 10, kind="hook")) == 1


async def test_deliveries_that_waited_for_their_receiver_take_turns_with_those_of_others(
    store: Store,
) -> None:
    for _ in range(8):
        await ended(store, *BOTH, connections=4)
    slow = await claim(store, 10, kind="hook")
    # Time passes by what others do meanwhile.
    for _ in range(20):
        await ended(store, *BOTH, account="other")
    await claim(store, 10, kind="hook")
    for held in slow:
        await tried(store, held, "success")
    accounts = {one.job.account for one in await claim(store, 4, kind="hook")}
    assert accounts == {"acme", "other"}
