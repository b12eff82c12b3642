"""All that Valkey keeps of some jobs, and what it told, as tests of the store look at it."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import redis.asyncio as redis
from msgspec import Struct, json

from dragon.schemas import KINDS, Dispatch, Kind, State, Update, decode_dispatch
from dragon.store.store import Store
from dragon.store.stored import Entry, entry_of
from tests.store.model import LIMITS
from tests.support.waiting import DEADLINE_SECONDS


class Place(Struct, frozen=True):
    """A sorted set of jobs of one state; of one class or account, if it says so."""

    name: str
    states: tuple[State, ...]
    kind: Kind | None = None
    account: str | None = None
    is_claimable: bool = False
    is_parked: bool = False
    is_alone: bool | None = None


PLACES = (
    *(Place(f"ready:{kind}", ("queued",), kind, None, True, is_alone=False) for kind in KINDS),
    *(Place(f"alone:{kind}", ("queued",), kind, None, True, is_alone=True) for kind in KINDS),
    *(
        Place(f"parked:{kind}:{account}", ("queued",), kind, account, is_parked=True)
        for kind in KINDS
        for account in LIMITS
    ),
    Place("delayed", ("queued",)),
    Place("leases", ("executing",)),
    Place("expiry", ("success", "error")),
)
"""Everywhere a job may lie."""

TAKER = "taker"
"""The worker that offers its slots."""


class Fields(Struct, frozen=True, kw_only=True):
    """The record of one job; `tag` is its turn in the fair queue, once it was claimed."""

    version: int
    state: State
    line: bytes
    account: str
    kind: Kind
    token: int
    attempt: int
    expires: int
    since: int
    tag: float


class View(Struct, frozen=True, kw_only=True):
    """One moment of the store: records by key, scores by place and key, counts and stored files
    by account; of TAKER how many jobs of each class it may still be sent, and the number of its
    offer."""

    records: dict[str, Fields]
    places: dict[str, dict[str, float]]
    counters: dict[str, dict[str, int]]
    ended: dict[str, int]
    reuse: dict[str, str]
    rooms: dict[str, float]
    number: int
    stored: dict[str, list[Entry]]
    usage: dict[str, int]


class News(Struct, frozen=True, kw_only=True):
    """What was told since the last time: statuses, wakes of workers, jobs to stop, jobs sent to
    TAKER, and jobs to be read again."""

    updates: list[Update]
    woken: set[str]
    cancelled: list[str]
    sent: list[Dispatch]
    outdated: list[str]


async def look(store: Store, keys: Collection[str], fingerprints: Collection[str]) -> View:
    """Read it all in one moment."""
    base, names = store.keys.base(0), [place.name for place in PLACES]
    commands = [
        *(["HMGET", store.keys.job(key), *_FIELDS] for key in keys),
        *(["ZRANGE", base + name, "0", "-1", "WITHSCORES"] for name in names),
        *(["HGETALL", base + name] for name in _COUNTERS),
        *(["GET", f"{base}reuse:{fingerprint}"] for fingerprint in fingerprints),
        *(["ZSCORE", f"{base}takers:{kind}", TAKER] for kind in KINDS),
        ["HGET", f"{base}offer:{TAKER}", "number"],
        *(["ZRANGE", f"{base}stored:{account}", "0", "-1"] for account in LIMITS),
    ]
    answers: Any = iter(await store.client.eval(_RUN_ALL, 0, json.encode(commands)))
    records = {key: _fields(next(answers)) for key in keys}
    scores = {name: {key: float(score) for key, score in _pairs(next(answers))} for name in names}
    counts = {name: _counts(next(answers)) for name in _COUNTERS}
    reuse = {fingerprint: next(answers) for fingerprint in fingerprints}
    return View(
        records={key: fields for key, fields in records.items() if fields},
        places=scores,
        ended=counts.pop("ended"),
        usage=counts.pop("usage"),
        counters=counts,
        reuse={fingerprint: key.decode() for fingerprint, key in reuse.items() if key},
        rooms={kind: float(next(answers) or 0) for kind in KINDS},
        number=int(next(answers) or 0),
        stored={account: list(map(entry_of, next(answers))) for account in LIMITS},
    )


_RUN_ALL = """
local answers = {}
for place, command in ipairs(cjson.decode(ARGV[1])) do
  answers[place] = redis.call(unpack(command))
end
return answers
"""
"""As one command: to make and to read sixty takes Python ten times as long."""

_FIELDS = (
    "version", "state", "line", "account", "kind", "token", "attempt", "expires", "since",
    "tag",
)  # fmt: skip
_COUNTERS = ("queued", "running", "parked", "ended", "usage")


def _fields(answer: list[bytes | None]) -> Fields | None:
    version, state, line, account, kind, token, attempt, expires, since, tag = answer
    if not (version and state and line and account and kind and token and attempt):
        assert answer == [None] * len(_FIELDS), "half a record"
        return None
    return Fields(
        version=int(version),
        state=state.decode(),  # type: ignore[arg-type]
        line=line,
        account=account.decode(),
        kind=kind.decode(),  # type: ignore[arg-type]
        token=int(token),
        attempt=int(attempt),
        expires=int(expires or 0),
        since=int(since or 0),
        tag=float(tag or -1),
    )


def _pairs(answer: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    for name, value in zip(answer[::2], answer[1::2], strict=True):
        yield name.decode(), value


def _counts(answer: Sequence[bytes]) -> dict[str, int]:
    """Without what is at zero."""
    return {name: int(count) for name, count in _pairs(answer) if int(count)}


async def news_of(listener: redis.client.PubSub, channels: str) -> News:
    """All that was told before now: the answer to a ping comes after it."""
    news = News(updates=[], woken=set(), cancelled=[], sent=[], outdated=[])
    await listener.ping()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            message = await listener.get_message(timeout=DEADLINE_SECONDS)
            if message and message["type"] == "pong":
                return news
            # The channel of TAKER is listened to twice: for the store only a name counts.
            if message and message["type"] == "pmessage":
                _add(news, message["channel"].decode().removeprefix(channels), message["data"])


def add_news(news: News, more: News) -> None:
    """What was told after that."""
    news.updates.extend(more.updates)
    news.woken.update(more.woken)
    news.sent.extend(more.sent)


def _add(news: News, channel: str, data: bytes) -> None:
    topic, _, name = channel.partition(":")
    if topic == "wake":
        news.woken.add(name)
    elif topic == "cancelled":
        news.cancelled.append(data.decode())
    elif topic == "outdated":
        news.outdated.append(data.decode())
    elif topic == "take":
        assert name == TAKER
        news.sent.append(decode_dispatch(data))
    else:
        assert topic == "status"
        for row in data.split(b"\n"):
            key, version, state, line = row.split(b" ", 3)
            assert key.startswith(name.encode())
            news.updates.append(
                Update(key.decode(), int(version), state.decode(), line)  # type: ignore[arg-type]
            )


async def make_due(store: Store, keys: Collection[str]) -> None:
    """As if the time had come for whatever these jobs wait for."""
    for name in ("leases", "delayed", "expiry"):
        await store.client.zadd(store.keys.base(0) + name, dict.fromkeys(keys, 0), xx=True)


async def now_ms(store: Store) -> int:
    seconds, microseconds = await store.client.time()
    return int(seconds * 1000 + microseconds // 1000)
