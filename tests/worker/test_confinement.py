"""What decoder children cannot do, whatever a file makes of them."""

import os
import socket
from pathlib import Path

import pytest

from dragon.errors import TaskFailed
from tests.support import isolated_functions as functions
from tests.support.decoders import MIB, Logs, call, children, in_force, output, source
from tests.support.paths import ROOT


def kernel_shows(pid: int) -> dict[str, str]:
    """The lines of a process's status, and its soft limits, by their names."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    shown = {name: value.strip() for name, _, value in (line.partition(":") for line in status)}
    return shown | {line[:26].strip(): line[26:].split()[0] for line in limits}


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


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
    unreadable = [canary.path, ROOT, ROOT / "pyproject.toml", "/etc/passwd", "/proc/self"]
    unwritable = [tmp_path / "new", target.path, "/dev/shm/new", ROOT / "dragon/new"]
    async with children() as decoders:
        read = await call(decoders, functions.read, list(map(str, unreadable)))
        written = await call(decoders, functions.write, list(map(str, unwritable)))
        assert await call(decoders, functions.join, target, b"", canary) == 6
        if in_force(decoders, "filesystem"):
            assert set(read) == set(written) == {"PermissionError"}
        else:
            assert read == ["done"] * len(read)
    assert target.path.read_bytes() == b"secret"


async def test_a_child_changes_nothing_about_files_that_it_may_not_open(tmp_path: Path) -> None:
    file = source(tmp_path / "canary", b"secret")
    before = file.path.stat()
    async with children() as decoders:
        changed = await call(decoders, functions.change, str(file.path))
        if in_force(decoders, "system_calls"):
            assert changed == ["PermissionError"] * 4
            assert file.path.stat() == before


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


async def test_the_confinement_that_is_told_is_what_the_kernel_shows(logs: Logs) -> None:
    async with children() as decoders:
        (pid,) = decoders.pids
        shown = kernel_shows(pid)
        filters = int(shown["Seccomp_filters"]) - int(kernel_shows(os.getpid())["Seccomp_filters"])
        assert filters == in_force(decoders, "system_calls")
        assert (shown["NoNewPrivs"] == "1") == in_force(decoders, "privileges")
        assert int(shown["CapEff"], 16) == 0 or not in_force(decoders, "privileges")
        assert (shown["Max address space"] != "unlimited") == in_force(decoders, "memory")
        assert {"network", "filesystem", "memory", "files"} < set(decoders.confinement)
        assert any(line["event"] == "decoders_confined" for line in logs)


async def test_a_hostile_reply_fails_the_task_and_leaves_no_descriptors() -> None:
    before = open_descriptors()
    async with children() as decoders:
        (pid,) = decoders.pids
        for _ in range(3):
            with pytest.raises(TaskFailed, match="unreadable reply"):
                await call(decoders, functions.reply_with_garbage_and_descriptors)
        assert await call(decoders, functions.pid) != pid
    assert open_descriptors() <= before
