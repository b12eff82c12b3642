"""Any sequence of transitions, on a real Valkey: the store does what a small model does."""

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dragon.schemas import Claim, Kind
from tests.store.checks import (
    check_counters,
    check_model,
    check_news,
    check_offer,
    check_places,
    check_stored,
    check_tags,
)
from tests.store.drafts import DRAFTS, Draft
from tests.store.steps import LONG_SECONDS, StoreSteps
from tests.store.view import PLACES, add_news, make_due, news_of

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


class StoreMachine(StoreSteps):
    """Takes steps in any order, and looks at the store and at the model after each."""

    keys: Bundle[str] = Bundle("keys")
    claims: Bundle[Claim] = Bundle("claims")

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
            self.finish(held[:1], "success", 3, 40)
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
            self.finish(held, how, *[5] * (how == "success"))  # type: ignore[arg-type]
        else:
            self.retry(held[0], LONG_SECONDS if how == "pause" else 0, is_counted=how != "drain")

    @rule(keys=st.lists(keys, min_size=1, max_size=3, unique=True))
    def delete_files(self, keys: list[str]) -> None:
        for key in keys:
            self.delete_last(key)

    @rule(account=st.sampled_from(["one", "two"]), days=st.sampled_from([3, 0, 1]))
    def keep_files(self, account: str, days: int) -> None:
        self.set_lifetime(account, days)

    @rule(how=st.sampled_from(["reap one", "reap", "forget", "fade"]))
    def tidy(self, how: str) -> None:
        if how == "forget":
            self.forget()
        elif how == "fade":
            self.run(self.fade())
        else:
            self.reap(1 if how == "reap one" else 100)

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
        check_stored(self.model, now)
        check_news(self.before, now, news)
        check_tags(self.tags, now)
        check_offer(self.offer, now)
        assert news.cancelled == self.stopped
        assert news.outdated == self.outdated
        self.stopped, self.outdated = [], []
        self.before = now
        self.is_fine = True


def test_any_sequence_of_transitions_does_what_the_model_does(valkey: str) -> None:
    class Machine(StoreMachine):
        url = valkey

    options = hypothesis.settings(max_examples=60, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Machine, settings=options)
