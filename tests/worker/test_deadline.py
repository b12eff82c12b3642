"""The time of a run, of whose parts each may end or begin something as it is over."""

import asyncio
import os
from pathlib import Path

import pytest

from tasks.toolkit.together import together
from tests.support.studio import run_context


async def test_what_a_part_begins_as_the_time_is_over_is_no_bug(tmp_path: Path) -> None:
    context = run_context(tmp_path, timeout_seconds=0.01)

    async def begin_late() -> None:
        while not context.deadline.expired():
            await asyncio.sleep(0)
        await context.isolated(os.getpid)

    with pytest.raises(TimeoutError):
        async with context.deadline:
            await together([begin_late()])
