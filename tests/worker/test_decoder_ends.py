"""Decoder children that crash, hang, wear out, are killed or left; nothing outlives its worker."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dragon.engine.isolation.pool import Decoders
from dragon.errors import TaskFailed, TaskInterrupted
from tests.support import isolated_functions as functions
from tests.support.decoders import (
    Announcements,
    Logs,
    call,
    children,
    held,
    lives,
    readable,
    stop,
    written,
)
from tests.support.isolated_functions import Box
from tests.support.waiting import eventually

PARENT = """
import asyncio
import sys
from pathlib import Path

from dragon.engine.isolation.pool import Decoders
from dragon.log import configure_logs
from dragon.task import File
from tests.support import isolated_functions
from tests.support.decoders import settings

async def main():
    configure_logs("json", "info")
    async with Decoders(settings(count=2)) as decoders:
        print(*decoders.pids, flush=True)
        fifo = File(name="", filename="", content_type="", path=Path(sys.argv[1]))
        await decoders.call(isolated_functions.hang, fifo, timeout_seconds=60)

asyncio.run(main())
"""


async def test_a_crash_hits_only_its_own_call(announcements: Announcements, logs: Logs) -> None:
    async with children(count=2) as decoders:
        hanging = asyncio.create_task(call(decoders, functions.hang, announcements.file))
        neighbour = await announcements.next_pid()
        with pytest.raises(TaskFailed, match=r"the file crashed its decoder \(SIGSEGV\)"):
            await call(decoders, functions.crash)
        with pytest.raises(TaskFailed, match=r"the file crashed its decoder \(exit status 7\)"):
            await call(decoders, functions.leave, 7)
        assert await call(decoders, functions.pid) != neighbour
        assert not hanging.done()
        os.kill(neighbour, signal.SIGKILL)
        with pytest.raises(TaskInterrupted, match="was killed"):
            await hanging
        assert await call(decoders, functions.double, Box(2, 3)) == Box(4, 6)
    assert "Segmentation fault" in written(logs)


async def test_a_call_that_its_child_never_read_is_served_by_the_next_child() -> None:
    async with children() as decoders:
        (stopped,) = decoders.pids
        stop(stopped)
        waiting = asyncio.create_task(call(decoders, functions.pid))
        await asyncio.sleep(0)  # one turn of the loop, in which the request is sent
        os.kill(stopped, signal.SIGKILL)
        assert await waiting != stopped


async def test_a_child_that_dies_idle_is_replaced() -> None:
    async with children() as decoders:
        (first,) = decoders.pids
        with held(first) as handle:
            os.kill(first, signal.SIGKILL)
            await readable(handle)
        assert await call(decoders, functions.pid) != first


async def test_a_child_for_which_no_descriptor_is_left_is_started_later(logs: Logs) -> None:
    async with children() as decoders:
        (first,) = decoders.pids
        with no_more_descriptors():
            os.kill(first, signal.SIGKILL)
            await eventually(lambda: "decoder_not_started" in [line["event"] for line in logs])
        assert await call(decoders, functions.pid) != first


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Those that are open stay so."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_call_beyond_its_deadline_fails_and_its_child_dies(
    announcements: Announcements,
) -> None:
    async with children() as decoders:
        (pid,) = decoders.pids
        with held(pid) as handle:
            with pytest.raises(TaskFailed, match=r"took longer than 0\.2 seconds"):
                await decoders.call(functions.hang, announcements.file, timeout_seconds=0.2)
            await readable(handle)
        assert await call(decoders, functions.pid) != pid


async def test_a_cancelled_call_leaves_no_decoder_running(announcements: Announcements) -> None:
    async with children() as decoders:
        hanging = asyncio.create_task(call(decoders, functions.hang, announcements.file))
        with held(await announcements.next_pid()) as handle:
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            await readable(handle)
        assert await call(decoders, functions.double, Box(2, 3)) == Box(4, 6)


async def test_a_cancelled_wait_for_a_child_loses_none(announcements: Announcements) -> None:
    async with children() as decoders:
        hanging = asyncio.create_task(call(decoders, functions.hang, announcements.file))
        pid = await announcements.next_pid()
        waiting = [asyncio.create_task(call(decoders, functions.pid)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        os.kill(pid, signal.SIGKILL)
        results = await asyncio.gather(hanging, *waiting, return_exceptions=True)
        assert [type(result) for result in results] == [
            TaskInterrupted,
            asyncio.CancelledError,
            int,
            int,
        ]


async def test_a_child_that_served_enough_is_replaced_without_a_gap() -> None:
    async with children(max_jobs=3) as decoders:
        (first,) = decoders.pids
        with held(first) as handle:
            assert [await call(decoders, functions.pid) for _ in range(3)] == [first] * 3
            while await call(decoders, functions.pid) == first:
                assert decoders.pids
            await readable(handle)


async def test_a_child_that_is_replaced_while_calls_wait_interrupts_none() -> None:
    seen: set[int] = set()

    async def keep_calling(decoders: Decoders) -> None:
        while len(seen) < 5:
            seen.add(await call(decoders, functions.pid))

    async with children(max_jobs=2) as decoders:
        await asyncio.gather(*(keep_calling(decoders) for _ in range(4)))


async def test_children_that_cannot_start_interrupt_the_call_and_say_why(logs: Logs) -> None:
    async with children(warm=("no_such_module",)) as decoders:
        assert decoders.confinement == {}
        with pytest.raises(TaskInterrupted, match="no decoder could be started"):
            await decoders.call(functions.pid, timeout_seconds=0.5)
    assert "No module named 'no_such_module'" in written(logs)
    assert sum(line["event"] == "decoder_not_started" for line in logs) < 10


async def test_closing_interrupts_calls_and_leaves_no_child(announcements: Announcements) -> None:
    async with children(count=2) as decoders:
        pids = decoders.pids
        calls = [
            asyncio.create_task(call(decoders, functions.hang, announcements.file))
            for _ in range(3)
        ]
        await announcements.next_pid()
    assert len(pids) == 2
    assert not any(map(lives, pids))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [TaskInterrupted] * 3
    with pytest.raises(TaskInterrupted, match="stopping"):
        await call(decoders, functions.pid)


async def test_children_die_with_a_worker_that_is_killed(announcements: Announcements) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-W", "ignore", "-c", PARENT, str(announcements.file.path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with parent, parent.stdout as printed:  # type: ignore[union-attr]
        try:
            await readable(printed.fileno())
            idle, busy = map(int, printed.readline().split())
            assert await announcements.next_pid() in (idle, busy)
            with held(idle) as first, held(busy) as second:
                parent.kill()
                await readable(first)
                await readable(second)
        finally:
            parent.kill()
    assert not lives(idle)
    assert not lives(busy)
