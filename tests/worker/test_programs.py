"""What a confined program cannot do, and the words with which it ends."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from dragon.errors import ProgramFailed, TaskFailed, TaskInterrupted
from dragon.task import Source
from tests.support.decoders import MIB, Logs, output, source
from tests.support.paths import ROOT
from tests.support.programs import TEST_PICTURE, code, in_force, programs, python

TRIES = """
import json, sys
def told(act, *arguments):
    try:
        act(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"
"""


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


async def test_ffmpeg_makes_a_file_and_its_lines_arrive(run_directory: Path) -> None:
    lines: list[str] = []
    file = output(run_directory / "made.mp4")
    await programs().run(
        ["ffmpeg", *TEST_PICTURE, "-t", "1", "-progress", "pipe:1", file],
        run_directory,
        lines.append,
    )
    assert file.path.stat().st_size > 1000
    assert lines[0].startswith("frame=")
    assert lines[-1] == "progress=end"


async def test_it_runs_where_dragon_is_imported_from_no_directory_of_the_path(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an editable installation."""
    elsewhere = [path for path in sys.path if Path(path).resolve() != ROOT]
    monkeypatch.setattr(sys, "path", elsewhere)
    file = output(run_directory / "made.mp4")
    await programs().run(["ffmpeg", *TEST_PICTURE, "-t", "1", file], run_directory)
    assert file.path.stat().st_size > 1000


async def test_a_source_can_be_read_wherever_it_lies_and_nothing_beside_it(
    tmp_path: Path, run_directory: Path
) -> None:
    given = source(tmp_path / "given", b"given")
    canary = source(tmp_path / "canary", b"secret")
    text = "print(told(open, sys.argv[2]), told(open, sys.argv[2], 'a'), told(open, {}))"
    lines: list[str] = []
    confined = python()
    await confined.run(
        [*code(TRIES + text.format(repr(str(canary.path)))), given], run_directory, lines.append
    )
    refused = "PermissionError" if in_force(confined, "filesystem") else "done"
    assert lines == [f"done {refused} {refused}"]


async def test_a_program_reads_and_writes_nothing_outside(
    tmp_path: Path, run_directory: Path
) -> None:
    canary = source(tmp_path / "canary", b"secret")
    unreadable = [canary.path, tmp_path, ROOT / "pyproject.toml", "/etc/passwd", "/proc/self"]
    unwritable = [tmp_path / "new", canary.path, "/dev/shm/new", run_directory / ".." / "new"]
    text = f"""
import os
unreadable, unwritable = {list(map(str, unreadable))}, {list(map(str, unwritable))}
print(json.dumps({{
    "read": [told(os.open, path, os.O_RDONLY) for path in unreadable],
    "write": [told(os.open, path, os.O_WRONLY | os.O_CREAT) for path in unwritable],
    "inside": told(open, "inside", "w"),
    "links": [told(os.symlink, "/etc/passwd", "link"), told(os.link, {str(canary.path)!r}, "l")],
    "change": [told(os.chmod, "inside", 0o777), told(os.utime, {str(canary.path)!r})],
}}))
"""
    lines: list[str] = []
    confined = python()
    await confined.run(code(TRIES + text), run_directory, lines.append)
    done = json.loads(lines[0])
    assert done["inside"] == "done"
    if in_force(confined, "filesystem"):
        assert {*done["read"], *done["write"]} == {"PermissionError"}
        assert "done" not in done["links"]
    if in_force(confined, "system_calls"):
        assert set(done["change"]) == {"PermissionError"}
    assert canary.path.read_bytes() == b"secret"


async def test_a_program_reaches_no_network_and_starts_no_process(run_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        text = f"""
import os, socket
print(told(socket.create_connection, {server.getsockname()}), told(os.fork),
      told(os.kill, {os.getpid()}, 0), told(os.execv, "/bin/sh", ["sh", "-c", "true"]))
"""
        lines: list[str] = []
        confined = python()
        await confined.run(code(TRIES + text), run_directory, lines.append)
        if in_force(confined, "network", "system_calls"):
            assert lines[0].split()[0] != "done"
            with pytest.raises(BlockingIOError):
                server.accept()
        if in_force(confined, "system_calls", "filesystem"):
            assert lines[0].split()[1:] == ["PermissionError"] * 3


async def test_ffmpeg_asked_for_a_url_or_a_foreign_file_finds_neither(
    tmp_path: Path, run_directory: Path
) -> None:
    canary = source(tmp_path / "canary", b"secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        for name in (f"http://127.0.0.1:{server.getsockname()[1]}/", str(canary.path)):
            with pytest.raises(ProgramFailed, match=r"not permitted|Permission denied"):
                await programs().run(["ffmpeg", "-i", name, "-f", "null", "-"], run_directory)
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_an_endless_output_is_cut_at_the_limit_which_is_named(run_directory: Path) -> None:
    made = output(run_directory / "made")
    with pytest.raises(TaskFailed, match="program_max_file_bytes = 1048576"):
        await programs(max_file_bytes=MIB).run(
            ["ffmpeg", *TEST_PICTURE, "-f", "rawvideo", made], run_directory
        )
    assert made.path.stat().st_size <= MIB


async def test_too_much_processor_time_fails_with_the_setting(run_directory: Path) -> None:
    endless = ["ffmpeg", *TEST_PICTURE, "-f", "null", "-"]
    with pytest.raises(TaskFailed, match="program_cpu_seconds = 1"):
        await programs(cpu_seconds=1).run(endless, run_directory)


async def test_too_much_memory_fails_with_the_setting(run_directory: Path) -> None:
    large = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=8000x8000",
        "-f",
        "null",
        "-",
    ]
    with pytest.raises(TaskFailed, match="program_memory_bytes = 314572800"):
        await programs(memory_bytes=300 * MIB).run(large, run_directory)


async def test_a_full_disk_interrupts(run_directory: Path) -> None:
    text = "import sys; sys.stderr.write('Error writing trailer'); sys.exit(228)"
    with pytest.raises(TaskInterrupted, match="the worker's disk failed: No space left on device"):
        await python().run(code(text), run_directory)


async def test_complaints_tell_no_paths_and_no_addresses(run_directory: Path) -> None:
    broken = source(run_directory / "source1", b"no video")
    with pytest.raises(ProgramFailed) as caught:
        await programs().run(
            ["ffmpeg", "-v", "error", "-f", "mov", "-i", broken, "-f", "null", "-"], run_directory
        )
    assert "[in#0] moov atom not found" in caught.value.lines
    assert "source1" in caught.value.message
    assert str(run_directory.parent) not in str(caught.value.lines)
    assert "0x" not in str(caught.value.lines)


async def test_endless_complaints_and_lines_take_no_memory(run_directory: Path) -> None:
    text = (
        "[sys.stderr.write('x' * 65536) for _ in range(500)]; print('y' * 9_000_000); sys.exit(3)"
    )
    lines: list[str] = []
    with pytest.raises(ProgramFailed) as caught:
        await python().run(code(text), run_directory, lines.append)
    assert len(caught.value.message) < 1000
    assert sum(map(len, lines)) <= 2**16


async def test_a_crash_is_told_by_its_signal(run_directory: Path) -> None:
    with pytest.raises(ProgramFailed, match="SIGSEGV"):
        await python().run(
            code("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"), run_directory
        )


async def test_a_binary_that_is_not_there_is_no_fault_of_the_file(
    run_directory: Path, logs: Logs
) -> None:
    with pytest.raises(TaskInterrupted, match="could not be started"):
        await programs(ffmpeg="/no/such/ffmpeg").run(["ffmpeg"], run_directory)
    assert any("/no/such/ffmpeg: No such file" in str(line) for line in logs)


async def test_a_program_that_the_machine_cannot_start_is_no_fault_of_the_file(
    tmp_path: Path, logs: Logs
) -> None:
    with pytest.raises(TaskInterrupted, match="could not be started"):
        await programs().run(["ffmpeg"], tmp_path / "missing")
    [line] = [line for line in logs if line["event"] == "program_not_started"]
    assert line["error"] == "No such file or directory"


async def test_only_ffmpeg_can_be_asked_for(run_directory: Path) -> None:
    for arguments in ([], ["sh"], [Source(url="", path=Path("/bin/sh"), size=0)]):
        with pytest.raises(ValueError, match="must be the word 'ffmpeg'"):
            await programs().run(arguments, run_directory)


async def test_a_program_gets_none_of_the_workers_environment(
    run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGON_ACCOUNTS", "secret")
    lines: list[str] = []
    await python().run(code("import os; print(sorted(os.environ))"), run_directory, lines.append)
    assert "LANG" in lines[0]
    assert "DRAGON" not in lines[0]
    assert "PYTHONPATH" not in lines[0]
