"""The steps of any sequence on a real Valkey: each is done in the store and in the model alike."""

import asyncio
import secrets
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from dragon.schemas import Claim, Dispatch, Kind, State
from dragon.settings import Settings
from dragon.store.offer import Offer
from dragon.store.store import Store
from dragon.store.stored import StoredIndex
from dragon.store.submission import Submission
from tests.store.checks import OFFERED, check_claims, check_offered, check_sent
from tests.store.drafts import Desk, Draft, answer, together
from tests.store.model import LIMITS, Answer, Model
from tests.store.view import TAKER, View, look, news_of, now_ms
from tests.support.jobs import line_of
from tests.support.stores import due_keys, finish, made, retry
from tests.support.waiting import DEADLINE_SECONDS

T = TypeVar("T")

LONG_SECONDS = 1000
"""No lease, pause or retention is over before `time_passes` says so."""


class StoreSteps(RuleBasedStateMachine):
    """Does everything twice, and sees that the store answers as the model does."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.made: dict[str, Submission] = {}
        self.newest: dict[str, Claim] = {}
        self.desk = Desk()
        self.stopped: list[str] = []
        self.outdated: list[str] = []
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

    # What clients do.

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

    # What workers do.

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

    def receive(self, sent: Dispatch) -> None:
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

    def finish(self, held: list[Claim], state: State, *sizes: int) -> None:
        expected = [self.model.finish(one.job.key, one.token, state, sizes) for one in held]
        for one in held:
            self.offer.free(one)
        calls = (finish(self.store, one, state, self.offer, made(one, *sizes)) for one in held)
        assert self.run(together(*calls)) == expected

    def retry(self, held: Claim, pause_seconds: int, *, is_counted: bool) -> None:
        expected = self.model.retry(
            held.job.key, held.token, is_paused=pause_seconds > 0, is_counted=is_counted
        )
        call = retry(self.store, held, pause_seconds, is_counted=is_counted)
        assert self.run(call) == expected

    def reap(self, limit: int) -> None:
        assert self.run(self.store.reap(0, limit)) == self.model.reap(limit)

    def forget(self) -> None:
        expired = self.run(due_keys(self.store))
        assert expired == self.model.expired()
        if expired:
            self.run(self.store.forget(0, expired))
            self.model.forget(expired)

    # What accounts do with what is stored.

    def delete_last(self, key: str) -> None:
        """The last file that a job has, if it has any."""
        job = self.model.jobs.get(key)
        if not (job and job.sizes):
            return
        size = job.sizes[-1]
        self.model.unstore_last(key)
        self.outdated.append(key)
        *_, entry = (one for one in self.before.stored[job.account] if key in one.path)
        call = StoredIndex(self.store).unstore(job.account, 0, {key: [entry.path]})
        assert self.run(call) == (1, size)

    def set_lifetime(self, account: str, days: int) -> None:
        self.model.set_lifetime(account, days)
        self.outdated.append("")
        self.run(StoredIndex(self.store).set_lifetime(account, days))

    # What the clock does.

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

    def look(self) -> Coroutine[Any, Any, View]:
        return look(self.store, self.made, LIMITS)
