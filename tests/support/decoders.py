"""Real decoder children for tests, and what tells that one runs, stopped or ended."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from structlog.typing import EventDict

from dragon.engine.isolation.pool import Decoders, DecoderSettings
from dragon.task import File, Source
from tests.support import isolated_functions as functions
from tests.support.waiting import DEADLINE_SECONDS

Logs = list[EventDict]

MIB = 2**20


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
        await asyncio.wait_for(ready.wait(), DEADLINE_SECONDS)
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


def written(logs: Logs) -> str:
    """All that children wrote."""
    return "".join(line.get("text", "") for line in logs)


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


def in_force(decoders: Decoders, *measures: str) -> bool:
    return any(not decoders.confinement[measure].startswith("none: ") for measure in measures)


def source(path: Path, content: bytes) -> Source:
    path.write_bytes(content)
    return Source(url="http://example.org/", path=path, size=len(content))


def output(path: Path) -> File:
    return File(name="output", filename=path.name, content_type="text/plain", path=path)
