"""The id of an event says which ends its reader knows, however many tasks there are."""

from hypothesis import given
from hypothesis import strategies as st

from dragon.http.streams.seen import Seen
from dragon.schemas import new_key

KEYS = [new_key() for _ in range(1000)]


def seen_after(keys: list[str], ended: set[int]) -> Seen:
    seen = Seen(keys)
    for place in ended:
        seen.note_end(keys[place])
    return seen


def ends_known(keys: list[str], event_id: str) -> set[int]:
    seen = Seen(keys, event_id)
    return {place for place, key in enumerate(keys) if seen.has_end(key)}


@given(st.integers(1, 1000), st.sets(st.integers(0, 999)))
def test_an_id_says_which_tasks_have_ended(count: int, ended: set[int]) -> None:
    keys = KEYS[:count]
    ended = {place for place in ended if place < count}
    event_id = seen_after(keys, ended).event_id().decode()
    assert ends_known(keys, event_id) == ended
    assert not Seen(keys, event_id).is_over
    assert len(event_id) <= 8 + 1 + 4 + 1 + (count + 5) // 6 + 1


def test_an_id_is_short_where_tasks_end_about_in_order() -> None:
    ended = set(range(900)) | {903, 910}
    assert len(seen_after(KEYS, ended).event_id()) < 20


def test_the_id_of_the_end_says_that_nothing_is_left() -> None:
    last_id = Seen(KEYS).last_id().decode()
    assert Seen(KEYS, last_id).is_over
    assert ends_known(KEYS, last_id) == set(range(1000))


def test_an_id_of_other_tasks_counts_for_nothing() -> None:
    seen = seen_after(KEYS[:9], {1, 5})
    for event_id in (seen.event_id(), seen.last_id()):
        for others in (KEYS[:8], KEYS[1:10], list(reversed(KEYS[:9]))):
            assert ends_known(others, event_id.decode()) == set()
            assert not Seen(others, event_id.decode()).is_over


@given(st.text(max_size=50) | st.from_regex(r"\A(end|\d{1,12})(\.[\w=-]*)?\Z"))
def test_an_id_that_somebody_made_up_names_no_other_task(text: str) -> None:
    for event_id in (text, Seen(KEYS).event_id().decode().partition(".")[0] + "." + text):
        seen = Seen(KEYS, event_id)
        again = Seen(KEYS, seen.event_id().decode())
        assert [again.has_end(key) for key in KEYS] == [seen.has_end(key) for key in KEYS]
