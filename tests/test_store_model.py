"""Any sequence of transitions, on a real Valkey: the store does what a small model does."""

import asyncio
import secrets
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dragon.schemas import Claim, Delivery, Kind, State
from dragon.settings import Settings
from dragon.store.offer import Offer
from dragon.store.store import Store
from dragon.store.submission import Submission
from tests.jobs import line_of
from tests.store_checks import (
    OFFERED,
    check_claims,
    check_counters,
    check_model,
    check_news,
    check_offer,
    check_offered,
    check_places,
    check_sent,
    check_tags,
)
from tests.store_drafts import DRAFTS, Desk, Draft, answer, together
from tests.store_model import LIMITS, Answer, Model
from tests.store_view import PLACES, TAKER, View, add_news, look, make_due, news_of, now_ms
from tests.stores import finish, retry
from tests.support import DEADLINE_SECONDS

T = TypeVar("T")

LONG_SECONDS = 1000
"""No lease, pause or retention is over before `time_passes` says so."""

MANY: dict[Kind, int] = {"fast": 50, "heavy": 50}
SLOTS = st.fixed_dictionaries(dict.fromkeys(MANY, st.sampled_from([3, 1, 2, 0])))


NAMES = ("ready", "parked", "alone", "delayed", "leases")
WORK = (
    "ready",
    "offer",
    "offer",
    "alone",
    "gap",
    "die",
    "end",
    "drain",
    "cancel ready",
    "cancel alone",
)
WRITES = ("renew", "progress", "success", "error", "pause", "retry", "drain")

has_keys = precondition(lambda self: bool(self.made))


class StoreMachine(RuleBasedStateMachine):
    """Does everything twice, in the store and in the model, and looks at both after each step."""

    url: str
    keys: Bundle[str] = Bundle("keys")
    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.made: dict[str, Submission] = {}
        self.newest: dict[str, Claim] = {}
        self.desk = Desk()
        self.stopped: list[str] = []
        self.tags: dict[str, float] = {}
        self.offer = Offer(TAKER, OFFERED)
        self.taken: list[Claim] = []
        self.open = AsyncExitStack()
        self.runner = asyncio.Runner()
        self.run(self.connect())

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        self.is_fine = False
        return self.runner.run(call)

    async def connect(self) -> None:
        settings = Settings(
            redis=self.url,
            redis_prefix=secrets.token_hex(6),
            redis_timeout_seconds=DEADLINE_SECONDS,
            lease_seconds=LONG_SECONDS,
        )
        self.store = await self.open.enter_async_context(Store(settings))
        pubsub = self.store.client.pubsub(ignore_subscribe_messages=True)
        self.listener = await self.open.enter_async_context(pubsub)
        await self.listener.psubscribe(self.store.keys.channels + "*")
        await self.listener.subscribe(self.store.keys.take_channel(TAKER))
        await news_of(self.listener, self.store.keys.channels)
        self.before = await self.look()
        self.asked_ms = await now_ms(self.store)

    def teardown(self) -> None:
        """Whatever came before, every job can still be run to its end."""
        try:
            if self.is_fine:
                self.run_all()
                self.is_sound()
        finally:
            self.run(self.open.aclose())
            self.runner.close()

    # What clients do.

    @initialize(target=keys, drafts=st.lists(DRAFTS, min_size=1, max_size=6))
    def start(self, drafts: list[Draft]) -> MultipleResults[str]:
        return multiple(*self.submit_together(drafts))

    @rule(target=keys, drafts=st.lists(DRAFTS, min_size=1, max_size=3))
    def submit(self, drafts: list[Draft]) -> MultipleResults[str]:
        return multiple(*self.submit_together(drafts))

    def submit_together(self, drafts: list[Draft]) -> list[str]:
        requests = [self.desk.request(self.store, draft) for draft in drafts]
        expected = [self.model.submit(request) for request in requests]
        assert self.run(self.answers(requests)) == expected
        for request, word in zip(requests, expected, strict=True):
            if word == "accepted":
                self.made |= {job.key: request for job in request.jobs}
        return [key for key in self.made if key not in self.before.records]

    async def answers(self, requests: list[Submission]) -> list[Answer]:
        """The rate of an account refills with time: none passes between two calls.

        Both clocks round, so a millisecond is left out: one too many would refuse a request.
        """
        rates = self.store.keys.base(0) + "rate"
        passed_ms = await now_ms(self.store) - self.asked_ms - 1
        for account in self.model.created:
            await self.store.client.hincrby(rates, account, passed_ms)
        got = await together(*(answer(self.store, request) for request in requests))
        self.asked_ms = await now_ms(self.store)
        return got

    @rule(key=keys)
    def submit_again(self, key: str) -> None:
        """As if the answer had been lost; by then the jobs may have come to anything."""
        request = self.made[key]
        if all(job.key in self.model.jobs for job in request.jobs):
            expected = self.model.submit(request)
            assert self.run(self.answers([request])) == [expected]

    @has_keys
    @rule(name=st.sampled_from(NAMES), keys=st.lists(keys, max_size=2))
    def cancel(self, name: str, keys: list[str]) -> None:
        """These, and the first that lies in such a place."""
        places = [self.before.places[place.name] for place in PLACES if name in place.name]
        several = [*keys, *[key for place in places for key in place][:1]]
        self.stopped += self.model.cancel(several)
        self.run(self.store.cancel(several))

    # What workers do.

    @rule(target=claims, hows=st.lists(st.sampled_from(WORK), min_size=1, max_size=8), slots=SLOTS)
    def work(self, hows: list[str], slots: dict[Kind, int]) -> MultipleResults[Claim]:
        """A shift: hypothesis leaves out rules at random, so that this must be rich in itself."""
        claims: list[Claim] = []
        for how in hows:
            claims += self.work_once(how, slots)
            self.is_sound()
        return multiple(*claims)

    def work_once(self, how: str, slots: dict[Kind, int]) -> list[Claim]:
        held = [self.newest[key] for key in self.before.places["leases"]]
        if how in ("ready", "alone"):
            return self.claim_from(how, slots)
        if how == "offer":
            return self.claim_and_offer()
        if how == "gap":
            self.offer.renew()
            return []
        if how == "die":
            for _ in ("silent", "lost"):
                self.time_passes(self.model.open_keys())
                self.reap(100)
        elif how == "end":
            self.finish(held[:1], "success")
        elif how == "drain":
            for one in held:
                self.retry(one, 0, is_counted=False)
        else:
            self.cancel(how.removeprefix("cancel "), [])
        return []

    @precondition(lambda self: bool(self.newest))
    @rule(how=st.sampled_from(WRITES), held=st.lists(claims, min_size=1, max_size=3))
    def write(self, how: str, held: list[Claim]) -> None:
        """As any worker, also for jobs that it lost long ago."""
        if how in ("renew", "progress"):
            self.renew(held) if how == "renew" else self.progress(held)
        elif how in ("success", "error"):
            self.finish(held, how)  # type: ignore[arg-type]
        else:
            self.retry(held[0], LONG_SECONDS if how == "pause" else 0, is_counted=how != "drain")

    def claim_from(self, source: str, slots: dict[Kind, int]) -> list[Claim]:
        got = self.run(self.store.claim("worker", slots, 0, is_alone=source == "alone"))
        self.note_claims(got.claims)
        check_claims(self.run(self.look()), got, source, slots)
        return got.claims

    def claim_and_offer(self) -> list[Claim]:
        for held in self.taken:
            if not self.model.holds(held.job.key, held.token):
                self.offer.free(held)
        slots = self.offer.free_slots()
        got = self.run(self.store.claim(TAKER, slots, 0, offer=self.offer))
        self.note_claims(got.claims)
        self.take(got.claims)
        now = self.run(self.look())
        check_claims(now, got, "ready", slots)
        check_offered(self.offer, now, got.alone)
        return got.claims

    def note_claims(self, claims: list[Claim]) -> None:
        for held in claims:
            job = self.model.claim(held.job.key)
            assert (held.token, held.attempt) == (job.token, job.attempt)
        self.newest |= {held.job.key: held for held in claims}

    def receive(self, sent: Delivery) -> None:
        """As a worker: what comes of an offer that is no more is handed back."""
        check_sent(self.before, sent)
        self.note_claims(sent.claims)
        if sent.number == self.offer.number:
            self.take(sent.claims)
        else:
            for held in sent.claims:
                self.retry(held, 0, is_counted=False)

    def take(self, claims: list[Claim]) -> None:
        self.taken += claims
        for held in claims:
            self.offer.take(held)

    def renew(self, held: list[Claim]) -> None:
        lost = [one for one in held if not self.model.renew(one.job.key, one.token)]
        assert self.run(self.store.renew(held)) == lost

    def progress(self, held: list[Claim]) -> None:
        expected = [self.model.progress(one.job.key, one.token) for one in held]
        calls = (self.store.progress(one, line_of(one.job.key, "executing")) for one in held)
        assert self.run(together(*calls)) == expected

    def finish(self, held: list[Claim], state: State) -> None:
        expected = [self.model.finish(one.job.key, one.token, state) for one in held]
        for one in held:
            self.offer.free(one)
        calls = (finish(self.store, one, state, offer=self.offer) for one in held)
        assert self.run(together(*calls)) == expected

    def retry(self, held: Claim, pause_seconds: int, *, is_counted: bool) -> None:
        expected = self.model.retry(
            held.job.key, held.token, is_paused=pause_seconds > 0, is_counted=is_counted
        )
        call = retry(self.store, held, pause_seconds, is_counted=is_counted)
        assert self.run(call) == expected

    @rule(how=st.sampled_from(["reap one", "reap", "forget", "fade"]))
    def tidy(self, how: str) -> None:
        if how == "forget":
            self.forget()
        elif how == "fade":
            self.run(self.fade())
        else:
            self.reap(1 if how == "reap one" else 100)

    def reap(self, limit: int) -> None:
        assert self.run(self.store.reap(0, limit)) == self.model.reap(limit)

    def forget(self) -> None:
        expired = self.run(self.store.expired_keys(0, 1000))
        assert expired == self.model.expired()
        if expired:
            self.run(self.store.forget(0, expired))
            self.model.forget(expired)

    def run_all(self) -> None:
        # Each round ends one job at least.
        for _, _ in zip(self.made, iter(self.model.open_keys, []), strict=False):
            self.work_once("die", {})
            self.finish(self.claim_from("ready", MANY), "success")
            self.finish(self.claim_from("alone", MANY), "success")
        assert self.model.open_keys() == []

    # What the clock does.

    @has_keys
    @rule(keys=st.lists(keys, min_size=1, max_size=5))
    def time_passes(self, keys: list[str]) -> None:
        for key in keys:
            self.model.pass_time(key)
        if keys:
            self.run(make_due(self.store, keys))

    async def fade(self) -> None:
        """A minute, the reuse time and the time of idempotency keys are over."""
        client, base = self.store.client, self.store.keys.base(0)
        for fingerprint, key in self.model.reuse.items():
            lives_ms = await client.pttl(f"{base}reuse:{fingerprint}")
            assert (lives_ms > 0) == self.model.jobs[key].has_ended
        names = [f"idempotent:{account}:{key}" for account, key in self.model.requests]
        names += [f"reuse:{fingerprint}" for fingerprint in self.model.fading]
        for name in names:
            assert await client.pttl(base + name) > 0
            await client.delete(base + name)
        await client.delete(base + "rate")
        self.model.fade()

    # What holds after each step.

    @invariant()
    def is_sound(self) -> None:
        news = self.run(news_of(self.listener, self.store.keys.channels))
        for sent in news.sent:
            self.receive(sent)
        if news.sent:
            add_news(news, self.run(news_of(self.listener, self.store.keys.channels)))
        now = self.run(self.look())
        check_model(self.model, now)
        check_places(self.model, now)
        check_counters(now)
        check_news(self.before, now, news)
        check_tags(self.tags, now)
        check_offer(self.offer, now)
        assert news.cancelled == self.stopped
        self.stopped = []
        self.before = now
        self.is_fine = True

    def look(self) -> Coroutine[Any, Any, View]:
        return look(self.store, self.made, LIMITS)


def test_any_sequence_of_transitions_does_what_the_model_does(valkey: str) -> None:
    class Machine(StoreMachine):
        url = valkey

    options = hypothesis.settings(max_examples=60, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Machine, settings=options)
