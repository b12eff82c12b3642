"""Decoder children: calls with values and files, and what comes back."""

import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from dragon.engine.isolation.pool import IsolatedBug
from dragon.errors import TaskFailed
from tests.support import isolated_functions as functions
from tests.support.decoders import call, children, output, source
from tests.support.isolated_functions import Box
from tests.support.waiting import eventually


async def test_arguments_and_result_are_structs_on_both_sides() -> None:
    async with children() as decoders:
        assert await call(decoders, functions.double, Box(2, 3)) == Box(4, 6)
        assert await call(decoders, functions.double, Box(2, 3), 5) == Box(10, 15)
        assert await call(decoders, functions.pid) in decoders.pids


def test_children_work_under_uvloop() -> None:
    async def main() -> None:
        async with children() as decoders:
            assert await call(decoders, functions.double, Box(2, 3)) == Box(4, 6)
            with pytest.raises(TaskFailed, match="SIGSEGV"):
                await call(decoders, functions.crash)
            assert await call(decoders, functions.double, Box(2, 3)) == Box(4, 6)

    uvloop.run(main())


async def test_sources_are_read_and_files_written_by_descriptors(tmp_path: Path) -> None:
    sources = [source(tmp_path / name, name.encode()) for name in ("first", "second")]
    target = output(tmp_path / "made")
    async with children() as decoders:
        assert await call(decoders, functions.join, target, b", ", *sources) == 13
    assert target.path.read_bytes() == b"first, second"


async def test_a_link_in_place_of_an_output_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "made").symlink_to(victim)
    async with children() as decoders:
        with pytest.raises(OSError, match="symbolic links"):
            await call(decoders, functions.join, output(tmp_path / "made"), b"")
    assert not victim.exists()


async def test_more_calls_than_children_are_all_answered() -> None:
    async with children(count=2) as decoders:
        calls = [call(decoders, functions.double, Box(n, n)) for n in range(50)]
        assert await asyncio.gather(*calls) == [Box(2 * n, 2 * n) for n in range(50)]


async def test_one_child_more_starts_once_all_are_busy() -> None:
    processors = len(os.sched_getaffinity(0))
    async with children(count=0) as decoders:
        await call(decoders, functions.double, Box(1, 1))
        assert len(decoders.pids) == processors
        for _ in range(2):
            calls = [call(decoders, functions.double, Box(n, n)) for n in range(5 * processors)]
            await asyncio.gather(*calls)
            await eventually(lambda: len(decoders.pids) > processors)
        assert len(decoders.pids) == processors + 1


async def test_a_failed_task_tells_its_reason() -> None:
    async with children() as decoders:
        with pytest.raises(TaskFailed, match=r"\Ano picture in it\Z"):
            await call(decoders, functions.fail, "no picture in it")


async def test_a_bug_is_raised_with_its_traceback_and_the_child_goes_on() -> None:
    async with children() as decoders:
        before = decoders.pids
        with pytest.raises(IsolatedBug, match=r"(?s)in divide_by_zero.*ZeroDivisionError"):
            await call(decoders, functions.divide_by_zero)
        with pytest.raises(IsolatedBug, match="promise_a_number returned something else"):
            await call(decoders, functions.promise_a_number)
        with pytest.raises(IsolatedBug, match="Expected `int`, got `str`"):
            await call(decoders, functions.take_memory, "much")
        assert decoders.pids == before


async def test_what_does_not_fit_into_a_message_is_told() -> None:
    async with children() as decoders:
        with pytest.raises(IsolatedBug, match="at most 131072 fit"):
            await call(decoders, functions.large, 200_000)
        with pytest.raises(ValueError, match="at most 131072 fit"):
            await call(decoders, functions.fail, "x" * 200_000)
        with pytest.raises(ValueError, match="no plain function of a module"):
            await call(decoders, lambda: 1)
        assert len(await call(decoders, functions.large, 130_000)) == 130_000
