"""Programs that are cancelled or whose worker is killed: none of them is left."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dragon.errors import TaskInterrupted
from tests.support.decoders import held, lives, readable
from tests.support.programs import TEST_PICTURE, code, programs, python
from tests.support.waiting import DEADLINE_SECONDS, cancelled_in_each_turn

PARENT = """
import asyncio
import sys
from pathlib import Path

from dragon.log import configure_logs
from tests.support.programs import TEST_PICTURE, programs

async def main():
    configure_logs("json", "error")
    arguments = ["ffmpeg", "-re", *TEST_PICTURE, "-progress", "pipe:1", "-f", "null", "-"]
    await programs().run(arguments, Path(sys.argv[1]), lambda line: print(line, flush=True))

asyncio.run(main())
"""


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def left_since(before: list[int]) -> list[int]:
    """This process's own children that live and were not there before."""
    return [pid for pid in children_of(os.getpid()) if pid not in before and lives(pid)]


class Running:
    """A program at work: its process, once it has printed that."""

    def __init__(self, directory: Path) -> None:
        self.pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        text = "import os, signal, time\n"
        text += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        text += "print(os.getpid(), flush=True)\nwhile True: time.sleep(60)"
        self.task = asyncio.create_task(
            python().run(code(text), directory, lambda line: self.pid.set_result(int(line)))
        )


async def test_cancelled_it_is_killed_and_gone(tmp_path: Path) -> None:
    running = Running(tmp_path)
    async with asyncio.timeout(DEADLINE_SECONDS):
        pid = await running.pid
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
    assert not lives(pid)


async def test_cancelled_while_it_starts_it_leaves_nothing(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    for turns in range(6):
        running = Running(tmp_path)
        for _ in range(turns):
            await asyncio.sleep(0)
        running.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running.task
        assert left_since(before) == []


async def test_cancelled_again_while_it_ends_it_is_gone_all_the_same(tmp_path: Path) -> None:
    running = Running(tmp_path)
    pid = await running.pid
    with pytest.raises(asyncio.CancelledError):
        await cancelled_in_each_turn(running.task)
    assert not lives(pid)


async def test_cancelled_again_while_it_starts_it_leaves_nothing(tmp_path: Path) -> None:
    before = children_of(os.getpid())
    for turns in range(6):
        running = Running(tmp_path)
        for _ in range(turns):
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await cancelled_in_each_turn(running.task)
        assert left_since(before) == []


async def test_cancelled_while_it_fails_to_start_it_is_no_failure(tmp_path: Path) -> None:
    running = Running(tmp_path / "missing")
    await asyncio.sleep(0)  # one turn of the loop, in which its start begins
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task


async def test_stopped_it_still_ends_with_its_deadline(tmp_path: Path) -> None:
    running = Running(tmp_path)
    pid = await running.pid
    os.kill(pid, signal.SIGSTOP)
    with held(pid) as handle:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.task, 0.1)
        await readable(handle)
    assert not lives(pid)


async def test_a_reader_of_its_lines_that_fails_ends_it(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    before = children_of(os.getpid())
    arguments = ["ffmpeg", "-re", *TEST_PICTURE, "-progress", "pipe:1", "-f", "null", "-"]
    with pytest.raises(ValueError, match="frame="):
        await programs().run(arguments, tmp_path, refuse)
    assert left_since(before) == []


async def test_killed_by_somebody_it_may_be_tried_again(tmp_path: Path) -> None:
    running = Running(tmp_path)
    os.kill(await running.pid, signal.SIGKILL)
    with pytest.raises(TaskInterrupted, match="ffmpeg was killed"):
        await running.task


async def test_it_dies_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-W", "ignore", "-c", PARENT, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with parent, parent.stdout as printed:  # type: ignore[union-attr]
        try:
            await readable(printed.fileno())
            [ffmpeg] = children_of(parent.pid)
            with held(ffmpeg) as handle:
                parent.kill()
                await readable(handle)
        finally:
            parent.kill()
    assert not lives(ffmpeg)
