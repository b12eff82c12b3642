"""Jobs whose ends are told, and the deliveries that tell them."""

from typing import Any

import msgspec

from dragon.schemas import Claim, State
from dragon.store.deliveries import Deliveries, HookDelivery, Try
from dragon.store.store import Store
from tests.support.jobs import hooked, line_of, submission
from tests.support.stores import claim, finish, submit

BOTH: tuple[State, State] = ("success", "error")


async def delivery_of(store: Store, task: str) -> HookDelivery:
    [delivery] = await Deliveries(store).read("acme", [store.keys.hook_key(task)])
    return delivery


async def claim_delivery(store: Store) -> Claim:
    [held] = await claim(store, kind="hook")
    return held


def params_of(held: Claim) -> Any:
    return msgspec.json.decode(held.job.params)


async def tried(store: Store, held: Claim, state: State, pause_seconds: float = 0) -> bool:
    line = line_of(held.job.key, state)
    how = Try(at=store.clock.iso(), seconds=0.1, status=204 if state == "success" else 500)
    return await Deliveries(store).tried(held, state, line, how, pause_seconds=pause_seconds)


async def ended(
    store: Store,
    *events: State,
    state: State = "success",
    account: str = "acme",
    **options: Any,
) -> str:
    """A job that has ended so, and whose ends of these kinds are told."""
    plain = submission(store, account=account)
    [key] = await submit(store, hooked(store, plain, *events, **options))
    [held] = await claim(store)
    assert await finish(store, held, state)
    return key
