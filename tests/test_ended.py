"""Records of ended jobs that a server remembers: the newest, and not without end."""

import msgspec

from dragon.engine.ended import MAX_RECORDS, EndedJobs
from dragon.schemas import Job, Record, Update


def record(key: str) -> Record:
    job = Job(
        key=key,
        task="hello",
        kind="fast",
        account="acme",
        params=msgspec.Raw(b"{}"),
        queued="",
        base_url="",
        timeout_seconds=60,
        attempts=3,
        retention_seconds=60,
    )
    return Record(update=Update(key, 3, "success", b"{}"), job=job, files=(), expires=0)


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    ended, one = EndedJobs(), record("one")
    ended.put("first", one)
    for number in range(MAX_RECORDS - 1):
        ended.put(str(number), one)
    assert ended.get("first") is one
    ended.put("last", one)
    assert ended.get("first") is None
    assert ended.get("0") is one
    assert ended.get("last") is one


def test_what_is_put_again_is_new_again() -> None:
    ended, old, new = EndedJobs(), record("old"), record("new")
    ended.put("first", old)
    for number in range(MAX_RECORDS - 1):
        ended.put(str(number), old)
    ended.put("first", new)
    ended.put("last", old)
    assert ended.get("first") is new
    assert ended.get("0") is None
