"""What holds of the store at any moment, whatever was done."""

from collections import Counter, defaultdict
from itertools import pairwise

from dragon.schemas import Dispatch, Kind, Update, decode_status
from dragon.store.offer import Offer
from dragon.store.store import Claims
from tests.store.model import LIMITS, Model
from tests.store.view import PLACES, News, View

OFFERED: dict[Kind, int] = {"fast": 3, "heavy": 2}
"""The slots of the worker that offers them."""

RETENTION_MS = 60_000
DAY_MS = 86_400_000
FOR_EVER_DAYS = 36_525

ARROWS = {
    ("queued", "executing"),
    ("queued", "error"),
    ("executing", "executing"),
    ("executing", "queued"),
    ("executing", "success"),
    ("executing", "error"),
}


def check_model(model: Model, now: View) -> None:
    """Each job has come to what the model says, and the same requests would be answered by it."""
    assert {
        key: (is_.account, is_.kind, is_.state, is_.version, is_.token, is_.attempt)
        for key, is_ in now.records.items()
    } == {
        key: (job.account, job.kind, job.state, job.version, job.token, job.attempt)
        for key, job in model.jobs.items()
    }
    assert set(now.places["delayed"]) == {key for key, job in model.jobs.items() if job.is_delayed}
    assert now.ended == {f"hello {state}": count for state, count in model.ended.items()}
    assert now.reuse == model.reuse
    for key, fields in now.records.items():
        status = decode_status(fields.line)
        assert (status.key, status.status) == (key, fields.state)


def check_places(model: Model, now: View) -> None:
    """Each job lies in exactly one place, which is one for jobs like it."""
    found = defaultdict(list)
    for place in PLACES:
        for key in now.places[place.name]:
            found[key].append(place)
    assert found.keys() == now.records.keys()
    for key, fields in now.records.items():
        [place] = found[key]
        assert fields.state in place.states
        assert place.kind in (None, fields.kind)
        assert place.account in (None, fields.account)
        assert place.is_alone in (None, model.jobs[key].is_alone)
        assert bool(fields.expires) == (place.name == "expiry")


def check_counters(now: View) -> None:
    """They count what lies there; no account is over its limit, or waits below it."""
    records = now.records.values()
    queued = Counter(fields.account for fields in records if fields.state == "queued")
    running = Counter(fields.account for fields in records if fields.state == "executing")
    parked: Counter[str] = Counter()
    offered: Counter[str] = Counter()
    for place in PLACES:
        accounts = [now.records[key].account for key in now.places[place.name]]
        parked.update(accounts if place.is_parked else ())
        offered.update(accounts if place.is_claimable else ())
    assert now.counters == {"queued": queued, "running": running, "parked": parked}
    for account, limits in LIMITS.items():
        limit = limits.running
        assert limit is None or running[account] <= limit
        # Each job that ends or goes back brings a parked one back, so the room is always used.
        if parked[account]:
            assert limit is not None
            assert running[account] + offered[account] >= limit, "parked for ever"


def check_stored(model: Model, now: View) -> None:
    """The index has the files of ended jobs, and these are kept as long as their account says."""
    for account in LIMITS:
        entries = now.stored[account]
        assert sorted(entry.size for entry in entries) == model.sizes(account)
        assert sum(entry.size for entry in entries) == now.usage.get(account, 0)
        days = model.days.get(account)
        kept_ms = RETENTION_MS if days is None else (days or FOR_EVER_DAYS) * DAY_MS
        for entry in entries:
            fields = now.records[entry.path.split("/")[1]]
            assert fields.expires - fields.since == kept_ms
    for key, fields in now.records.items():
        if fields.since and not model.jobs[key].sizes:
            assert fields.expires - fields.since == RETENTION_MS


def check_claims(now: View, got: Claims, source: str, slots: dict[Kind, int]) -> None:
    """No more than there were slots for, in the order of their tags, and no slot left idle."""
    asked = [kind for kind, free in slots.items() if free]
    if source == "ready":
        assert got.left == {kind for kind in asked if now.places[f"ready:{kind}"]}
    assert got.alone == sum(len(now.places[f"alone:{kind}"]) for kind in slots)
    for kind, free in slots.items():
        tags = [now.records[held.job.key].tag for held in got.claims if held.job.kind == kind]
        left = now.places[f"{source}:{kind}"].values()
        assert len(tags) <= free
        assert len(tags) == free or not left, "an idle slot beside a job"
        assert [*tags, *left] == sorted(tags) + sorted(left) == sorted([*tags, *left])


def check_news(before: View, now: View, news: News) -> None:
    """Exactly what changed was told, and whoever may work on it was woken."""
    told: dict[str, list[Update]] = defaultdict(list)
    for update in news.updates:
        told[update.key].append(update)
    assert told.keys() <= now.records.keys()
    for key, fields in now.records.items():
        old = before.records.get(key)
        # A new job is told to nobody: the answer to its request says so, before anything else.
        last = Update(key, fields.version, fields.state, fields.line)
        unheard = Update(key, 1, "queued", b"") if told[key] else last
        first = Update(key, old.version, old.state, old.line) if old else unheard
        steps = [first, *told[key]]
        assert steps[-1] == last
        assert old or first.version == 1
        assert all(two.version == one.version + 1 for one, two in pairwise(steps))
        assert {(one.state, two.state) for one, two in pairwise(steps)} <= ARROWS
    for place in PLACES:
        came = now.places[place.name].keys() - before.places[place.name].keys()
        if came and place.is_claimable:
            assert place.kind in news.woken


def check_tags(known: dict[str, float], now: View) -> None:
    """A job keeps its tag: whatever befalls it, nobody who came later overtakes it."""
    queues = ("ready", "alone", "parked")
    names = [place.name for place in PLACES if place.name.startswith(queues)]
    tags = {key: tag for name in names for key, tag in now.places[name].items()}
    tags |= {key: fields.tag for key, fields in now.records.items() if fields.token}
    assert {key: tag for key, tag in tags.items() if known.get(key, tag) != tag} == {}
    known |= tags


def check_offer(offer: Offer, now: View) -> None:
    """What the worker runs and what it may be sent are never more than its slots."""
    if offer.number == now.number:
        for kind, slots in OFFERED.items():
            assert 0 <= now.rooms[kind] <= offer.limit(kind) - offer.got[kind] <= slots


def check_offered(offer: Offer, now: View, alone: int) -> None:
    """All that is free is offered after a claim, but not beside jobs that must run alone."""
    assert offer.number == now.number
    for kind in OFFERED:
        assert now.rooms[kind] == (0 if alone else offer.free_slots()[kind])


def check_sent(before: View, sent: Dispatch) -> None:
    """Nobody who came before was passed over, and no more came than there was room for."""
    counts = Counter(claim.job.kind for claim in sent.claims)
    for place in PLACES:
        if place.is_claimable and (place.kind in counts or place.is_alone):
            assert not before.places[place.name]
    assert all(count <= before.rooms[kind] for kind, count in counts.items())
    assert all(claim.job.attempts > 1 for claim in sent.claims)
