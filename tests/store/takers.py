"""A worker to which the store sends jobs unasked, without what runs them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from dragon.schemas import Claim, Dispatch, decode_dispatch
from dragon.store.offer import Offer
from dragon.store.store import Store
from tests.support.waiting import DEADLINE_SECONDS

Sent = Callable[[], Awaitable[list[Dispatch]]]


@asynccontextmanager
async def listening(store: Store, worker: str) -> AsyncIterator[Sent]:
    """As a worker does; what was sent to it since the last call."""
    async with store.client.pubsub(ignore_subscribe_messages=True) as feed:
        await feed.subscribe(store.keys.take_channel(worker))

        async def sent() -> list[Dispatch]:
            found: list[Dispatch] = []
            await feed.ping()
            while (message := await feed.get_message(timeout=DEADLINE_SECONDS)) is None or (
                message["type"] != "pong"
            ):
                found += [decode_dispatch(message["data"])] if message else []
            return found

        assert await sent() == []
        yield sent


async def offer_slots(store: Store, offer: Offer) -> list[Claim]:
    """As a worker claims; what it gets at once."""
    got = await store.claim(offer.worker, offer.free_slots(), 0, offer=offer)
    for one in got.claims:
        offer.take(one)
    return got.claims


async def receive(sent: Sent, offer: Offer) -> list[Claim]:
    """What came, each with a slot."""
    claims = [one for delivery in await sent() for one in delivery.claims]
    for one in claims:
        offer.take(one)
    return claims
