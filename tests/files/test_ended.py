"""Records of ended jobs that a server remembers: the newest, and not without end."""

from dragon.engine.files.ended import MAX_RECORDS, EndedJobs
from dragon.schemas import Record, Ticket, Update


def record(key: str) -> Record:
    job = Ticket(key=key, task="hello", kind="fast", account="acme", queued="")
    return Record(update=Update(key, 3, "success", b"{}"), job=job, files=(), expires=0)


def key_of(ended: EndedJobs, name: str) -> str | None:
    known = ended.get(name)
    return known.update.key if known else None


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    ended, one = EndedJobs(), record("one")
    ended.put("first", one, 0)
    for number in range(MAX_RECORDS - 1):
        ended.put(str(number), one, 0)
    assert key_of(ended, "first") == "one"
    ended.put("last", one, 0)
    assert ended.get("first") is None
    assert key_of(ended, "0") == "one"
    assert key_of(ended, "last") == "one"


def test_what_is_put_again_is_new_again() -> None:
    ended, old, new = EndedJobs(), record("old"), record("new")
    ended.put("first", old, 0)
    for number in range(MAX_RECORDS - 1):
        ended.put(str(number), old, 0)
    ended.put("first", new, 0)
    ended.put("last", old, 0)
    assert key_of(ended, "first") == "new"
    assert ended.get("0") is None


def test_what_is_dropped_is_read_again() -> None:
    ended = EndedJobs()
    for key in ("one", "two", "three"):
        ended.put(key, record(key), ended.drops)
    ended.put("again", record("one"), ended.drops)
    ended.drop({"one", "unknown"})
    assert [key_of(ended, name) for name in ("one", "again", "two", "three")] == [
        None, None, "two", "three"
    ]  # fmt: skip
    ended.drop(frozenset())
    assert [key_of(ended, name) for name in ("two", "three")] == [None, None]


def test_what_was_read_before_a_drop_is_not_remembered_after_it() -> None:
    ended = EndedJobs()
    drops = ended.drops
    ended.drop({"one"})
    ended.put("one", record("one"), drops)
    assert ended.get("one") is None
    ended.put("one", record("one"), ended.drops)
    assert key_of(ended, "one") == "one"
