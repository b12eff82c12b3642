"""What isolated functions tell while they run, and what is not believed of it."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from dragon.engine.isolation.pool import IsolatedBug
from dragon.engine.isolation.tells import MAX_TOLD_BYTES, Listener, Teller
from dragon.errors import TaskFailed
from tests.support import isolated_functions as functions
from tests.support.decoders import call, children, held, readable
from tests.support.waiting import DEADLINE_SECONDS


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def sent(connection: socket.socket) -> list[Any]:
    """All that was sent so far."""
    values: list[Any] = []
    while True:
        try:
            values.append(msgspec.json.decode(connection.recv(2 * MAX_TOLD_BYTES)[1:]))
        except BlockingIOError:
            return values


async def test_values_come_in_order_and_the_last_always_comes() -> None:
    told: list[Any] = []
    async with children() as decoders:
        assert await call(decoders, functions.count, 10_000, told.append) == 10_000
    numbers = [value["number"] for value in told]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (1, 10_000)


async def test_ten_a_second_are_told_however_many_there_are() -> None:
    told: list[Any] = []
    async with children() as decoders:
        started = time.monotonic()
        await call(decoders, functions.count_for, 1.0, told.append)
        took = time.monotonic() - started
    assert 2 <= len(told) <= 10 * took + 2


async def test_what_was_told_before_a_failure_is_heard() -> None:
    told: list[Any] = []
    async with children() as decoders:
        with pytest.raises(TaskFailed, match="no picture"):
            await call(decoders, functions.tell_and_fail, told.append)
    assert told == ["begun"]


async def test_a_call_is_cancelled_in_mid_work_and_tells_no_more() -> None:
    told: asyncio.Queue[Any] = asyncio.Queue()
    async with children() as decoders:
        hanging = asyncio.create_task(call(decoders, functions.tell_and_hang, told.put_nowait))
        with held(await asyncio.wait_for(told.get(), DEADLINE_SECONDS)) as handle:
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            await readable(handle)
        assert await call(decoders, functions.count, 3, told.put_nowait) == 3
    assert told.get_nowait() == {"number": 1}


async def test_what_the_listener_raises_ends_the_call_and_its_child() -> None:
    def refuse(value: Any) -> None:
        raise LookupError(value["number"])

    async with children() as decoders:
        before = decoders.pids
        with pytest.raises(LookupError, match="1"):
            await call(decoders, functions.count, 1, refuse)
        assert {await call(decoders, functions.pid)}.isdisjoint(before)


async def test_too_large_a_value_is_a_bug_and_so_are_two_callables() -> None:
    async with children() as decoders:
        await call(decoders, functions.tell_much, MAX_TOLD_BYTES - 2, print)
        with pytest.raises(IsolatedBug, match=f"1025 bytes were told; at most {MAX_TOLD_BYTES}"):
            await call(decoders, functions.tell_much, MAX_TOLD_BYTES - 1, print)
        with pytest.raises(ValueError, match="got 2 callables; it can tell one only"):
            await call(decoders, functions.count, print, print)


@pytest.mark.parametrize(
    ("message", "times", "words"),
    [
        (b"\xc11", 1000, "it told too much"),
        (b"\xc1garbage", 1, "it told what is unreadable"),
        (b"\xc1", 1, "it told what is unreadable"),
        (b"\xc1" + b"[" * 900, 1, "it told what is unreadable"),
        (b'\xc1"' + b"x" * 100_000 + b'"', 1, "it told what is unreadable"),
        (b"garbage", 1, "unreadable reply"),
    ],
    ids=["flood", "garbage", "nothing", "depth", "size", "reply"],
)
async def test_a_child_that_was_taken_over_is_not_listened_to(
    message: bytes, times: int, words: str
) -> None:
    told: list[Any] = []
    async with children() as decoders:
        before = decoders.pids
        with pytest.raises(TaskFailed, match=words):
            await call(decoders, functions.send, message, times, told.append)
        assert {await call(decoders, functions.pid)}.isdisjoint(before)
    assert len(told) < 100


async def test_told_values_that_nobody_asked_for_are_garbage() -> None:
    async with children() as decoders:
        with pytest.raises(TaskFailed, match="unreadable reply"):
            await call(decoders, functions.send, b"\xc11", 1)


def test_a_slow_worker_holds_no_child_up_and_gets_the_newest_in_the_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    clock = Clock()
    teller = Teller(theirs, clock)
    for number in range(10_000):
        clock.now += 1
        teller(number)
    unread = sent(ours)
    assert unread == list(range(len(unread)))
    assert len(unread) < 10_000
    teller.close()
    assert sent(ours) == [9_999]
    teller("too late")
    assert sent(ours) == []


def test_as_many_are_heard_as_time_went_by_even_if_they_come_at_once() -> None:
    clock = Clock()
    told: list[Any] = []
    listener = Listener(told.append, clock)
    clock.now += 60
    for number in range(600):
        assert listener.hears(b"\xc1" + msgspec.json.encode(number))
    assert told == list(range(600))
    with pytest.raises(TaskFailed, match="it told too much"):
        [listener.hears(b"\xc10") for _ in range(100)]


def test_what_can_be_told_can_be_told_on() -> None:
    """However deep: what a child made up must not be a bug of whoever passes it on."""
    told: list[Any] = []
    deepest = b"[" * (MAX_TOLD_BYTES // 2) + b"]" * (MAX_TOLD_BYTES // 2)
    assert Listener(told.append).hears(b"\xc1" + deepest)
    assert msgspec.json.encode(told[0]) == deepest
