"""Claims jobs while slots are free, runs them, keeps their leases, and drains when told to stop."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

import structlog

from dragon.background import Background, is_set_within
from dragon.engine.worker.durations import Durations
from dragon.engine.worker.hook_run import HookRun
from dragon.engine.worker.run import Run, Tools
from dragon.engine.worker.suspects import Suspects
from dragon.engine.worker.task_run import TaskRun
from dragon.errors import Unavailable
from dragon.schemas import Claim, Kind, decode_dispatch
from dragon.store.feed import Feed
from dragon.store.offer import Offer

log = structlog.get_logger()

RENEWALS_PER_LEASE = 3
MAX_CLAIM = 32
"""Of one kind at once. Less than the fast slots, so that while Valkey writes how some jobs ended
others run."""


class Worker:
    """Runs jobs of some kinds, `slots` of each at once, while its context is open."""

    def __init__(self, tools: Tools, name: str, slots: dict[Kind, int]) -> None:
        self.name = name
        self._tools = tools
        self._store = tools.store
        self._settings = tools.settings
        self._slots = slots
        # One for several shards would have to be divided, and leave slots empty in some of them.
        self._offer = Offer(name, slots, is_made=tools.settings.shards == 1)
        self._runs: dict[Claim, tuple[Run, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._may_be_ready: set[Kind] = set()
        self._suspects = Suspects(slots, patience_seconds=tools.settings.lease_seconds)
        self._first_shard = 0
        self._durations = Durations(tools.store)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        keys = self._store.keys
        feed = Feed(self._store.client, self._store.timeout_seconds, self._on_gap)
        self._feed = await self._stack.enter_async_context(feed)
        wakes = [keys.wake_channel(kind) for kind in self._slots]
        await feed.subscribe(wakes, lambda _: self._wake.set())
        await feed.subscribe([keys.cancelled_channel], self._on_cancelled)
        await feed.subscribe([keys.take_channel(self.name)], self._on_sent)
        background = await self._stack.enter_async_context(Background())
        self._claimer = background.start(self._claim_forever(), "claim")
        background.start(self._renew_forever(), "renew")
        background.start(self._durations.run(), "durations")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain: no new claim; runs may end in time, and what is left is handed back uncounted."""
        self._is_stopping = True
        self._wake.set()
        # A claim under way may still bring jobs, which would wait for their leases to run out.
        await asyncio.wait([self._claimer], timeout=self._settings.redis_timeout_seconds)
        await self._withdraw()
        if tasks := [task for _, task in self._runs.values()]:
            await asyncio.wait(tasks, timeout=self._settings.drain_seconds)
        await asyncio.gather(*(self._give_up(*left) for left in list(self._runs.values())))
        await self._stack.aclose()

    async def _withdraw(self) -> None:
        """Offer nothing more, and wait for what is on its way."""
        self._offer.set_open(False)
        try:
            if self._offer.number:
                await self._store.claim(self.name, self._free_slots(), 0, offer=self._offer)
                await self._feed.catch_up()
        except Unavailable as error:
            log.warning("withdraw_failed", error=error.message)

    async def _claim_forever(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            try:
                await self._claim_once()
            except Unavailable as error:
                log.warning("claim_failed", error=error.message)
                # It may have landed, and what it got is lost.
                self._offer.renew()
                await asyncio.sleep(random.uniform(0.2, 0.6))  # noqa: S311
                continue
            free_slots = self._free_slots()
            if not any(free_slots[kind] for kind in self._may_be_ready):
                pause_seconds = min(self._settings.poll_seconds, self._suspects.pause_seconds)
                await is_set_within(self._wake, pause_seconds)

    async def _claim_once(self) -> None:
        """Take what the free slots hold, and note for which kinds to ask again."""
        self._offer.set_open(not self._suspects.need_the_worker)
        may_be_ready: set[Kind] = set()
        alone = 0
        shards = self._settings.shards
        first = self._first_shard
        for shard in (number % shards for number in range(first, first + shards)):
            free_slots = self._free_slots()
            answer = await self._store.claim(self.name, free_slots, shard, offer=self._offer)
            # Of kinds that had no slot left when this shard's turn came, nothing was asked.
            may_be_ready |= answer.left | {kind for kind, free in free_slots.items() if not free}
            alone += answer.alone
            if answer.claims:
                # Shards take turns, or those behind a busy one would wait until it is empty.
                self._first_shard = shard + 1
            for claim in answer.claims:
                self._start(claim)
        if alone:
            # Each that ends may be the last one that a suspect waits for.
            may_be_ready |= self._suspects.kinds
        self._may_be_ready = may_be_ready
        self._suspects.note_waiting(alone)
        self._offer.set_open(not self._suspects.need_the_worker)
        if self._suspects.is_next(self._runs):
            await self._claim_suspect()

    async def _claim_suspect(self) -> None:
        """Take one job that must run alone."""
        for shard in range(self._settings.shards):
            for kind in self._suspects.kinds:
                one = {each: int(each == kind) for each in self._slots}
                answer = await self._store.claim(
                    self.name, one, shard, is_alone=True, offer=self._offer
                )
                for claim in answer.claims:
                    self._suspects.begin(claim)
                    self._start(claim)
                    return
        # Another worker was faster.
        self._suspects.note_waiting(0)
        self._wake.set()

    def _free_slots(self) -> dict[Kind, int]:
        return {kind: min(free, MAX_CLAIM) for kind, free in self._offer.free_slots().items()}

    def _on_gap(self) -> None:
        """What the store sent meanwhile is lost."""
        self._offer.renew()
        self._wake.set()

    def _on_sent(self, message: bytes) -> None:
        """Jobs that the store gives unasked."""
        dispatch = decode_dispatch(message)
        for claim in dispatch.claims:
            if dispatch.number == self._offer.number:
                self._start(claim)
            else:
                self._refuse(claim)

    def _start(self, claim: Claim) -> None:
        self._offer.take(claim)
        run = self._make_run(claim)
        self._follow(run, self._run(run))

    def _refuse(self, claim: Claim) -> None:
        run = self._make_run(claim)
        self._follow(run, self._hand_back(run))

    def _make_run(self, claim: Claim) -> Run:
        if claim.job.kind == "hook":
            return HookRun(self._tools, claim, self._offer)
        return TaskRun(self._tools, claim, self._offer, partial(self._lend, claim.job.kind))

    def _follow(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=run.claim.job.key)
        self._runs[run.claim] = run, task
        # Not at the end of the task itself, which never begins if it is cancelled at once.
        task.add_done_callback(partial(self._on_end, run.claim))

    def _on_end(self, claim: Claim, _: object) -> None:
        del self._runs[claim]
        self._offer.free(claim)
        was_suspect = self._suspects.end(claim)
        # A claim that found a free slot and left nothing needs no other after it.
        if was_suspect or claim.job.kind in self._may_be_ready:
            self._wake.set()

    def _lend(self, kind: Kind, slots: int) -> None:
        """A job lends its slot to its child, or takes it back, even if another has it by then."""
        self._offer.lend(kind, slots)
        self._wake.set()

    async def _run(self, run: Run) -> None:
        job = run.claim.job
        log.info("job_started", key=job.key, task=job.task, attempt=run.claim.attempt)
        waited_seconds = self._store.clock.age(job.queued)
        began = asyncio.get_running_loop().time()
        try:
            outcome = await run.run()
            took_seconds = asyncio.get_running_loop().time() - began
            self._durations.add(run.phases)
            if job.kind != "hook":
                # A delivery waits for its receiver, for days.
                self._durations.add({"queue": waited_seconds, "total": took_seconds})
            log.info(
                "job_ran",
                key=job.key,
                task=job.task,
                account=job.account,
                status=outcome.state,
                attempt=run.claim.attempt,
                queued_seconds=round(waited_seconds, 4),
                seconds=round(took_seconds, 4),
            )
        except Exception:
            # Its lease is renewed no longer, so the job is run again elsewhere.
            log.exception("run_died", key=job.key)

    async def _renew_forever(self) -> None:
        pause_seconds = self._settings.lease_seconds / RENEWALS_PER_LEASE
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self._renew_once()
                pause_seconds = self._settings.lease_seconds / RENEWALS_PER_LEASE
            except Unavailable as error:
                log.warning("renew_failed", error=error.message)
                # When Valkey is back, whoever does not say so in time is believed lost.
                pause_seconds = random.uniform(0.2, 0.6)  # noqa: S311

    async def _renew_once(self) -> None:
        for claim in await self._store.renew(list(self._runs)):
            if claim in self._runs:
                self._abandon(claim, "lease_lost")

    def _on_cancelled(self, message: bytes) -> None:
        """The store has ended the job already: what is left is to stop the work."""
        for claim in [claim for claim in self._runs if claim.job.key == message.decode()]:
            run, _ = self._runs[claim]
            run.is_in_vain = True
            self._abandon(claim, "job_cancelled")

    def _abandon(self, claim: Claim, event: str) -> None:
        run, task = self._runs[claim]
        # One that is writing how it ended learns from the store's answer that it came too late,
        # and one that was told already to stop is to do so in peace.
        if not (run.is_ending or run.is_stopped):
            log.warning(event, key=claim.job.key)
            run.is_stopped = True
            task.cancel()

    async def _give_up(self, run: Run, task: asyncio.Task[None]) -> None:
        run.is_stopped = True
        task.cancel()
        await asyncio.wait([task], timeout=self._settings.redis_timeout_seconds)
        await self._hand_back(run)

    async def _hand_back(self, run: Run) -> None:
        try:
            async with asyncio.timeout(self._settings.redis_timeout_seconds):
                if await run.hand_back():
                    log.info("job_handed_back", key=run.claim.job.key)
        except TimeoutError:
            log.warning("hand_back_failed", key=run.claim.job.key)
