"""Runs ffmpeg, confined, in the directory of a run, and sees to it that nothing of it is left."""

import asyncio
import errno
import os
import re
import signal
import sys
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from dragon.background import to_its_end
from dragon.engine.isolation.launch import NOT_STARTED, Launch
from dragon.engine.isolation.process import BASE_ENVIRONMENT, interpreter_environment
from dragon.errors import ProgramFailed, TaskError, TaskFailed, TaskInterrupted
from dragon.task import File, Source

log = structlog.get_logger()

Argument = str | Source | File

END_SECONDS = 5.0
"""How long a program that was killed may take to be gone."""

MAX_LINE_BYTES = 16 * 1024
MAX_LINES = 4
MAX_LINE_LENGTH = 300
"""Of what a program complained, what is told: so many lines from its start and from its end."""

_ADDRESS = re.compile(r" ?@ 0x[0-9a-f]+")
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^\s/:'\"]+/)+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_NO_MEMORY = re.compile(
    r"Cannot allocate memory|malloc of size \d+ failed|std::bad_alloc|pthread_create\(\) failed"
)


class ProgramSettings(Struct, frozen=True, kw_only=True):
    """Each is the setting `program_<name>`."""

    ffmpeg: str
    memory_bytes: int
    max_file_bytes: int
    cpu_seconds: int


class Programs:
    """Starts programs, each in a session of its own, and kills what has to end."""

    def __init__(self, settings: ProgramSettings) -> None:
        self.confinement: dict[str, str] = {}
        """What is in force, as the newest program's launcher told."""
        self._settings = settings

    async def run(
        self,
        arguments: Sequence[Argument],
        directory: Path,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Run "ffmpeg", which the first argument must be, until it ends well.

        It can read the Sources among the arguments, and read and write in `directory` only.
        `on_line` gets the lines it prints. Raises ProgramFailed with its complaints,
        TaskFailed where a limit was hit, TaskInterrupted if it was killed or the disk is full.
        Cancelled, it leaves nothing running.
        """
        launch = await self._launch(arguments, directory)
        process = await _spawn(launch, directory, has_output=on_line is not None)
        errors = asyncio.create_task(self._read_errors(_stream(process.stderr)))
        try:
            if on_line:
                async for line in _lines(_stream(process.stdout)):
                    on_line(line)
            complaints = await errors
            code = await process.wait()
        finally:
            errors.cancel()
            await to_its_end(_end(process))
        if code == NOT_STARTED:
            raise _not_started(lines=complaints)
        if code != 0:
            lines = [_cleaned(line, launch) for line in complaints]
            log.info("program_failed", code=code, lines=lines)
            raise _failure(code, lines, self._settings)

    async def _launch(self, arguments: Sequence[Argument], directory: Path) -> Launch:
        if not arguments or arguments[0] != "ffmpeg":
            raise ValueError("the first argument must be the word 'ffmpeg'")
        binary = self._settings.ffmpeg or await asyncio.to_thread(_bundled_ffmpeg)
        return Launch(
            parent_pid=os.getpid(),
            program=(binary, *map(_text, arguments[1:])),
            environment={**BASE_ENVIRONMENT, "SVT_LOG": "1"},
            readable=tuple(str(each.path) for each in arguments if isinstance(each, Source)),
            writable=str(directory),
            memory_bytes=self._settings.memory_bytes,
            max_file_bytes=self._settings.max_file_bytes,
            cpu_seconds=self._settings.cpu_seconds,
        )

    async def _read_errors(self, stream: StreamReader) -> list[str]:
        """The first and last complaints; the very first line is the launcher's."""
        first: list[str] = []
        last: deque[str] = deque(maxlen=MAX_LINES)
        is_first = True
        async for line in _lines(stream):
            if is_first and line.startswith("{"):
                self._note(msgspec.json.decode(line, type=dict[str, str]))
            elif line.strip():
                (first if len(first) < MAX_LINES else last).append(line)
            is_first = False
        return [*first, *last]

    def _note(self, confinement: dict[str, str]) -> None:
        if confinement != self.confinement:
            self.confinement = confinement
            log.info("programs_confined", **confinement)


def _bundled_ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _text(argument: Argument) -> str:
    return argument if isinstance(argument, str) else str(argument.path)


async def _spawn(launch: Launch, directory: Path, *, has_output: bool) -> Process:
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            sys.executable,
            *("-s", "-P", "-S", "-m", "dragon.engine.isolation.launch"),
            msgspec.json.encode(launch).decode(),
            stdin=DEVNULL,
            stdout=PIPE if has_output else DEVNULL,
            stderr=PIPE,
            cwd=directory,
            start_new_session=True,
            env=launch.environment | interpreter_environment(),
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Half a start cannot be taken back, but its process can be killed.
        await to_its_end(_end_started(starting))
        raise
    except OSError as error:
        # There is no memory, say, or no more processes: the task may do well later.
        raise _not_started(error=error.strerror) from None


def _not_started(**why: Any) -> TaskInterrupted:
    log.error("program_not_started", **why)
    return TaskInterrupted("ffmpeg could not be started; the log of the worker says why")


async def _end_started(starting: asyncio.Task[Process]) -> None:
    with suppress(OSError):
        await _end(await starting)


async def _end(process: Process) -> None:
    """Kill the process with all that it may have started, and wait until it is gone."""
    _kill_group(process.pid)
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        log.error("program_not_gone", pid=process.pid)  # noqa: TRY400
    _kill_group(process.pid)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _stream(stream: StreamReader | None) -> StreamReader:
    assert stream is not None  # noqa: S101
    return stream


async def _lines(stream: StreamReader) -> AsyncIterator[str]:
    """Lines, also those that end with a mere return; of a too long one the start is lost."""
    rest = b""
    while chunk := await stream.read(MAX_LINE_BYTES):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        rest = rest[-MAX_LINE_BYTES:]
    if rest:
        yield rest.decode("utf-8", "replace")


def _cleaned(line: str, launch: Launch) -> str:
    """Without what is nobody's business: folders, addresses in memory, control characters."""
    for path in (launch.writable + "/", *launch.readable, launch.program[0]):
        line = line.replace(path, "" if path.endswith("/") else os.path.basename(path))
    line = _FOLDERS.sub("", _ADDRESS.sub("", line))
    return _CONTROL.sub("", line)[:MAX_LINE_LENGTH]


def _failure(code: int, lines: list[str], settings: ProgramSettings) -> TaskError:
    text = "\n".join(lines)
    # An ffmpeg that failed exits with the error's number, in one byte.
    error = 256 - code
    if code == -signal.SIGKILL:
        return TaskInterrupted("ffmpeg was killed")
    if code == -signal.SIGXFSZ or error == errno.EFBIG:
        size = settings.max_file_bytes
        return TaskFailed(f"the output is larger than program_max_file_bytes = {size}")
    if code == -signal.SIGPROF:
        seconds = settings.cpu_seconds
        return TaskFailed(f"ffmpeg took more processor time than program_cpu_seconds = {seconds}")
    if error == errno.ENOSPC or os.strerror(errno.ENOSPC) in text:
        return TaskInterrupted(f"the worker's disk failed: {os.strerror(errno.ENOSPC)}")
    if error == errno.ENOMEM or _NO_MEMORY.search(text):
        size = settings.memory_bytes
        return TaskFailed(f"ffmpeg needs more memory than program_memory_bytes = {size}")
    ended = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return ProgramFailed(f"ffmpeg failed ({ended}): {' / '.join(lines[-3:])}", tuple(lines))
