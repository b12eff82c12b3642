"""Jobs that the store sends to a worker unasked, as far as the worker offered room for them."""

import msgspec

from dragon.schemas import Kind
from dragon.settings import Limits
from dragon.store.offer import Offer
from dragon.store.store import Store
from tests.store.takers import listening, offer_slots, receive
from tests.support.jobs import child_of, submission
from tests.support.stores import claim, counters, expire_leases, finish, read, submit

SLOTS: dict[Kind, int] = {"fast": 2, "heavy": 1}


async def test_a_job_is_sent_to_a_worker_that_offers_room_and_then_runs_there(
    store: Store,
) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        assert await offer_slots(store, offer) == []
        request = submission(store)
        [key] = await submit(store, request)
        [delivery] = await sent()
        assert delivery.number == offer.number
        [held] = delivery.claims
        assert msgspec.json.encode(held.job) == msgspec.json.encode(request.jobs[0])
        assert (held.token, held.attempt) == (1, 1)
        record = await read(store, key)
        assert (record.update.version, record.update.state) == (2, "executing")
        assert await counters(store) == {"running acme": 1}
        assert await claim(store) == []
        assert await store.renew([held]) == []
        assert await finish(store, held)


async def test_where_nobody_listens_jobs_wait_to_be_claimed(store: Store) -> None:
    await offer_slots(store, Offer("dead", SLOTS))
    keys = await submit(store, submission(store, 2))
    assert await counters(store) == {"queued acme": 2}
    assert [one.job.key for one in await claim(store)] == keys


async def test_what_a_dead_worker_offered_keeps_no_job_from_a_living_one(store: Store) -> None:
    await offer_slots(store, Offer("dead", {"fast": 50}))
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        keys = await submit(store, submission(store))
        assert [one.job.key for one in await receive(sent, offer)] == keys


async def test_the_worker_with_the_most_room_gets_a_job(store: Store) -> None:
    async with listening(store, "small") as small, listening(store, "large") as large:
        await offer_slots(store, Offer("small", {"fast": 2}))
        await offer_slots(store, Offer("large", {"fast": 3}))
        await submit(store, submission(store))
        assert len(await large()) == 1
        assert await small() == []


async def test_jobs_that_find_no_room_for_all_wait_in_the_fair_order(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        keys = await submit(store, submission(store, 3))
        assert await sent() == []
        assert [one.job.key for one in await offer_slots(store, offer)] == keys[:2]


async def test_nobody_overtakes_those_who_wait(store: Store) -> None:
    async with listening(store, "worker") as sent:
        first = await submit(store, submission(store, 3))
        offer = Offer("worker", SLOTS)
        held = await offer_slots(store, offer)
        for one in held:
            offer.free(one)
            await finish(store, one, offer=offer)
        second = await submit(store, submission(store, account="other"))
        assert await sent() == []
        assert {one.job.key for one in await offer_slots(store, offer)} == {first[2], *second}


async def test_the_end_of_a_run_offers_its_slot_again(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", {"fast": 1})
        await offer_slots(store, offer)
        for _ in range(3):
            keys = await submit(store, submission(store))
            [held] = await receive(sent, offer)
            assert [held.job.key] == keys
            offer.free(held)
            assert await finish(store, held, offer=offer)


async def test_no_more_is_sent_than_was_offered_whatever_is_told_twice(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", {"fast": 1})
        await offer_slots(store, offer)
        await submit(store, submission(store))
        [held] = await receive(sent, offer)
        offer.free(held)
        assert await finish(store, held, offer=offer)
        assert not await finish(store, held, offer=offer)
        await offer_slots(store, offer)
        await submit(store, submission(store))
        assert len(await receive(sent, offer)) == 1
        await submit(store, submission(store))
        assert await sent() == []


async def test_jobs_that_are_on_their_way_have_their_slots(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        await submit(store, submission(store, 2))
        await submit(store, submission(store))
        # The worker has not heard of the first two yet.
        assert await offer_slots(store, offer) == []
        assert offer.free_slots() == {"fast": 0, "heavy": 1}
        assert len(await receive(sent, offer)) == 2


async def test_after_a_gap_what_was_lost_on_the_way_has_no_slot(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        await submit(store, submission(store, 2))
        await sent()
        offer.renew()
        await offer_slots(store, offer)
        keys = await submit(store, submission(store, 2))
        assert [one.job.key for one in await receive(sent, offer)] == keys


async def test_a_claim_that_comes_after_one_of_a_newer_offer_gets_nothing(store: Store) -> None:
    late, offer = Offer("worker", SLOTS), Offer("worker", SLOTS)
    offer.renew()
    await offer_slots(store, offer)
    keys = await submit(store, submission(store))
    assert await offer_slots(store, late) == []
    assert [one.job.key for one in await offer_slots(store, offer)] == keys


async def test_a_closed_offer_takes_back_what_was_offered(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        offer.set_open(False)
        assert await offer_slots(store, offer) == []
        await submit(store, submission(store))
        assert await sent() == []


async def test_an_account_is_sent_no_more_than_it_may_run(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        keys = await submit(store, submission(store, 2, limits=Limits(running=1)))
        assert [one.job.key for one in await receive(sent, offer)] == keys[:1]
        assert await counters(store) == {"running acme": 1, "queued acme": 1}


async def test_a_job_that_has_one_attempt_is_not_sent_since_messages_may_be_lost(
    store: Store,
) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        keys = await submit(store, submission(store, attempts=1))
        assert await sent() == []
        assert [one.job.key for one in await offer_slots(store, offer)] == keys


async def test_large_jobs_are_not_sent(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        request = submission(store)
        large = msgspec.structs.replace(
            request.jobs[0], metas=msgspec.Raw(b'"%s"' % (b"x" * 70_000))
        )
        await submit(store, msgspec.structs.replace(request, jobs=(large,)))
        assert await sent() == []
        assert len(await offer_slots(store, offer)) == 1


async def test_nothing_is_sent_while_a_job_waits_to_run_alone(store: Store) -> None:
    async with listening(store, "worker") as sent:
        await submit(store, submission(store, attempts=2))
        [_] = await claim(store)
        offer = Offer("worker", SLOTS)
        await offer_slots(store, offer)
        for _ in ("silent", "lost"):
            await expire_leases(store)
            await store.reap(0)
        await submit(store, submission(store))
        assert await sent() == []
        # Nor to a worker that hears of it only now.
        [_] = await offer_slots(store, offer)
        [_] = (await store.claim("other", {"fast": 1}, 0, is_alone=True)).claims
        await submit(store, submission(store))
        assert await sent() == []


async def test_a_job_that_was_sent_and_never_received_runs_again_after_its_lease(
    store: Store,
) -> None:
    async with listening(store, "worker") as sent:
        await offer_slots(store, Offer("worker", SLOTS))
        keys = await submit(store, submission(store))
        assert len(await sent()) == 1
        for _ in ("silent", "lost"):
            await expire_leases(store)
            await store.reap(0)
        [held] = await claim(store)
        assert ([held.job.key], held.attempt) == (keys, 2)


async def test_a_child_is_sent_like_any_job_but_a_parent_runs_beside_it(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", {"flow": 1, "fast": 1})
        await offer_slots(store, offer)
        limits = Limits(running=1)
        await submit(store, submission(store, kind="flow", limits=limits))
        [parent] = await receive(sent, offer)
        assert await counters(store) == {}
        [key] = await submit(store, child_of(store, parent, limits=limits))
        assert [one.job.key for one in await receive(sent, offer)] == [key]
        assert await counters(store) == {"running acme": 1}


async def test_a_child_is_sent_to_the_slot_that_its_parent_lends(store: Store) -> None:
    async with listening(store, "worker") as sent:
        offer = Offer("worker", {"flow": 1})
        await offer_slots(store, offer)
        await submit(store, submission(store, kind="flow"))
        [parent] = await receive(sent, offer)
        offer.lend("flow", 1)
        await offer_slots(store, offer)
        keys = await submit(store, child_of(store, parent, kind="flow"))
        [child] = await receive(sent, offer)
        assert [child.job.key] == keys
        offer.free(child)
        await finish(store, child, offer=offer)
        offer.lend("flow", -1)
        offer.free(parent)
        await finish(store, parent, offer=offer)
        await submit(store, submission(store, kind="flow"))
        await submit(store, submission(store, kind="flow"))
        assert len(await receive(sent, offer)) == 1
