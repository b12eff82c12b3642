"""Decoder children: calls, files, crashes, limits, confinement and ends, with real processes."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from structlog.testing import capture_logs

from dragon.engine.isolation.pool import Decoders, DecoderSettings, IsolatedBug
from dragon.errors import TaskFailed, TaskInterrupted
from dragon.task import File, Source
from tests import isolated_functions as functions
from tests.isolated_functions import Box

MIB = 2**20
PARENT = """
import asyncio
import sys
from pathlib import Path

from dragon.engine.isolation.pool import Decoders
from dragon.log import configure_logs
from dragon.task import File
from tests import isolated_functions
from tests.decoders import settings

async def main():
    configure_logs("json", "info")
    async with Decoders(settings(count=2)) as decoders:
        print(*decoders.pids, flush=True)
        fifo = File(name="", filename="", content_type="", path=Path(sys.argv[1]))
        await decoders.call(isolated_functions.hang, fifo, timeout_seconds=60)

asyncio.run(main())
"""


class Announcements:
    """A FIFO by which a function in a child tells that it runs, and as which process."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.file = File(name="", filename="", content_type="", path=path)
        self._end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    async def next_pid(self) -> int:
        await readable(self._end)
        lines = os.read(self._end, 100).split()
        return int(lines[0])

    def close(self) -> None:
        os.close(self._end)


def settings(**changes: Any) -> DecoderSettings:
    warm = (functions.__name__,)
    usual = DecoderSettings(
        count=1, memory_bytes=512 * MIB, cpu_seconds=20, max_jobs=1000, warm=warm
    )
    return msgspec.structs.replace(usual, **changes)


@asynccontextmanager
async def children(**changes: Any) -> AsyncIterator[Decoders]:
    async with asyncio.timeout(60), Decoders(settings(**changes)) as decoders:
        yield decoders


async def call(decoders: Decoders, function: Any, *arguments: Any) -> Any:
    return await decoders.call(function, *arguments, timeout_seconds=30)


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 20)
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def held(pid: int) -> Iterator[int]:
    """A handle on a process, which becomes readable when it ends."""
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def stop(pid: int) -> None:
    """Stop a child of this process, and return when it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def kernel_shows(pid: int) -> dict[str, str]:
    """The lines of a process's status, and its soft limits, by their names."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    shown = {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
    return shown | {line[:26].strip(): line[26:].split()[0] for line in limits}


def in_force(decoders: Decoders, *measures: str) -> bool:
    return any(not decoders.confinement[measure].startswith("none: ") for measure in measures)


def source(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    return Source(url="http://example.org/", path=path, size=len(content))


def output(path: Path) -> File:
    return File(name="output", filename=path.name, content_type="text/plain", path=path)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


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


async def test_a_crash_hits_only_its_own_call(announcements: Announcements) -> None:
    with capture_logs() as logs:
        await _crash_beside_a_hanging_call(announcements)
    assert any("Segmentation fault" in line.get("text", "") for line in logs)


async def _crash_beside_a_hanging_call(announcements: Announcements) -> None:
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


async def test_too_much_memory_fails_the_task() -> None:
    async with children(memory_bytes=128 * MIB) as decoders:
        assert await call(decoders, functions.take_memory, 100 * MIB) == 100 * MIB
        with pytest.raises(TaskFailed, match="decoder_memory_bytes = 134217728"):
            await call(decoders, functions.take_memory, 200 * MIB)


async def test_too_much_processor_time_fails_the_task_but_calls_do_not_add_up() -> None:
    async with children(cpu_seconds=1) as decoders:
        for _ in range(3):
            await call(decoders, functions.take_cpu, 0.6)
        with pytest.raises(TaskFailed, match="decoder_cpu_seconds = 1"):
            await call(decoders, functions.take_cpu, 20)


async def test_a_child_reaches_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        async with children() as decoders:
            outcome = await call(decoders, functions.connect, server.getsockname()[1])
            protected = in_force(decoders, "network", "system_calls")
        assert (outcome != "done") == protected
        if protected:
            with pytest.raises(BlockingIOError):
                server.accept()


async def test_a_child_reads_and_writes_nothing_but_its_descriptors(tmp_path: Path) -> None:
    canary = source(tmp_path / "canary", b"secret")
    target = output(tmp_path / "made")
    project = Path(functions.__file__).parent.parent
    unreadable = [canary.path, project, project / "pyproject.toml", "/etc/passwd", "/proc/self"]
    unwritable = [tmp_path / "new", target.path, "/dev/shm/new", project / "dragon/new"]
    async with children() as decoders:
        read = await call(decoders, functions.read, list(map(str, unreadable)))
        written = await call(decoders, functions.write, list(map(str, unwritable)))
        assert await call(decoders, functions.join, target, b"", canary) == 6
        if in_force(decoders, "filesystem"):
            assert set(read) == set(written) == {"PermissionError"}
        else:
            assert read == ["done"] * len(read)
    assert target.path.read_bytes() == b"secret"


async def test_a_child_starts_no_process_and_signals_none() -> None:
    async with children() as decoders:
        started = await call(decoders, functions.start_processes)
        signalled = await call(decoders, functions.signal_process, os.getpid())
        if in_force(decoders, "system_calls"):
            assert [*started, signalled] == ["PermissionError"] * 3
        else:
            assert started[1] == "done"


async def test_a_child_gets_the_environment_that_its_tasks_want_and_not_that_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DRAGON_ACCOUNTS", "secret")
    async with children(environment={"SITE_LIBRARY": "careful"}) as decoders:
        names = await call(decoders, functions.environment)
    assert "SITE_LIBRARY" in names
    assert "DRAGON_ACCOUNTS" not in names


async def test_the_confinement_that_is_told_is_what_the_kernel_shows() -> None:
    with capture_logs() as logs:
        async with children() as decoders:
            (pid,) = decoders.pids
            shown = kernel_shows(pid)
            filters = int(shown["Seccomp_filters"]) - int(
                kernel_shows(os.getpid())["Seccomp_filters"]
            )
            assert filters == in_force(decoders, "system_calls")
            assert (shown["NoNewPrivs"] == "1") == in_force(decoders, "privileges")
            assert int(shown["CapEff"], 16) == 0 or not in_force(decoders, "privileges")
            assert (shown["Max address space"] != "unlimited") == in_force(decoders, "memory")
            assert {"network", "filesystem", "memory", "files"} < set(decoders.confinement)
    assert [line for line in logs if line["event"] == "decoders_confined"]


async def test_a_hostile_reply_fails_the_task_and_leaves_no_descriptors() -> None:
    before = open_descriptors()
    async with children() as decoders:
        (pid,) = decoders.pids
        for _ in range(3):
            with pytest.raises(TaskFailed, match="unreadable reply"):
                await call(decoders, functions.reply_with_garbage_and_descriptors)
        assert await call(decoders, functions.pid) != pid
    assert open_descriptors() == before


async def test_a_child_that_served_enough_is_replaced_without_a_gap() -> None:
    async with children(max_jobs=3) as decoders:
        (first,) = decoders.pids
        with held(first) as handle:
            assert [await call(decoders, functions.pid) for _ in range(3)] == [first] * 3
            while await call(decoders, functions.pid) == first:
                assert decoders.pids
            await readable(handle)


async def test_children_that_cannot_start_interrupt_the_call_and_say_why() -> None:
    with capture_logs() as logs:
        async with children(warm=("no_such_module",)) as decoders:
            assert decoders.confinement == {}
            started = time.monotonic()
            with pytest.raises(TaskInterrupted, match="no decoder could be started"):
                await decoders.call(functions.pid, timeout_seconds=0.5)
            assert time.monotonic() - started < 5
    assert any("No module named 'no_such_module'" in line.get("text", "") for line in logs)
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
