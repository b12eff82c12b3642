"""Calls of the store that travel together: each is answered, or told in time that it is not."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from dragon.background import Background
from dragon.errors import Unavailable
from dragon.store.batch import Batch
from tests.support.waiting import DEADLINE_SECONDS, until


async def test_what_was_given_up_while_it_waited_is_not_sent() -> None:
    sent: list[int] = []
    may_answer = asyncio.Event()

    async def send(items: Sequence[int]) -> Sequence[int]:
        sent.extend(items)
        await may_answer.wait()
        return items

    async with Background() as background:
        batch = Batch(background.start, DEADLINE_SECONDS, send)
        first = batch.add(1)
        await until(lambda: asyncio.sleep(0, bool(sent)))
        given_up, last = batch.add(2), batch.add(3)
        given_up.cancel()
        may_answer.set()
        assert [await first, await last] == [1, 3]
    assert sent == [1, 3]


async def test_whoever_waits_behind_a_slow_call_is_told_in_time() -> None:
    may_answer = asyncio.Event()

    async def send(items: Sequence[int]) -> Sequence[int]:
        await may_answer.wait()
        return items

    async with Background() as background:
        batch = Batch(background.start, 0.1, send)
        answers = await asyncio.gather(batch.add(1), batch.add(2), return_exceptions=True)
        later = await asyncio.gather(batch.add(3), return_exceptions=True)
        assert [type(answer) for answer in [*answers, *later]] == [Unavailable] * 3
        may_answer.set()

        async def is_answered() -> bool:
            with suppress(Unavailable):
                return await batch.add(4) == 4
            return False

        assert await until(is_answered)
