"""Plain functions for decoder children to run: good ones, broken ones and hostile ones."""

import array
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from dragon.errors import TaskFailed
from dragon.task import Descriptor, Tell


class Box(Struct, frozen=True):
    width: int
    height: int


def pid() -> int:
    return os.getpid()


def double(box: Box, factor: int = 2) -> Box:
    return Box(box.width * factor, box.height * factor)


def join(target: Descriptor, separator: bytes, *sources: Descriptor) -> int:
    return os.write(target, separator.join(os.read(source, 1000) for source in sources))


def fail(reason: str) -> None:
    raise TaskFailed(reason)


def divide_by_zero() -> float:
    return 1 / 0


def promise_a_number() -> int:
    return "a word"  # type: ignore[return-value]


def large(size: int) -> bytes:
    return bytes(size)


def crash() -> None:
    ctypes.string_at(0)


def leave(status: int) -> None:
    sys.exit(status)


def hang(announcements: Descriptor) -> None:
    os.write(announcements, f"{os.getpid()}\n".encode())
    signal.pause()


def take_memory(size: int) -> int:
    return len(bytearray(size))


def take_cpu(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def environment() -> list[str]:
    return sorted(os.environ)


def connect(port: int) -> str:
    return outcome(lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close())


def start_processes() -> list[str]:
    return [outcome(lambda: subprocess.run([sys.executable, "-V"], check=True)), outcome(_fork)]


def signal_process(pid: int) -> str:
    return outcome(lambda: os.kill(pid, 0))


def read(paths: list[str]) -> list[str]:
    return [outcome(lambda path=path: _read(path)) for path in paths]  # type: ignore[misc]


def write(paths: list[str]) -> list[str]:
    return [outcome(lambda path=path: _write(path)) for path in paths]  # type: ignore[misc]


def change(path: str) -> list[str]:
    """What Landlock does not see: mode, owner, times and attributes of a file."""
    return [
        outcome(lambda: os.chmod(path, 0o600)),
        outcome(lambda: os.chown(path, -1, -1)),
        outcome(lambda: os.utime(path)),
        outcome(lambda: os.setxattr(path, "user.x", b"x")),
    ]


def outcome(act: Callable[[], Any]) -> str:
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"


def count(to: int, tell: Tell) -> int:
    for number in range(1, to + 1):
        tell({"number": number})
    return to


def count_for(seconds: float, tell: Tell) -> int:
    number, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        tell(number)
    return number


def tell_much(size: int, tell: Tell) -> None:
    tell("x" * size)


def tell_and_hang(tell: Tell) -> None:
    tell(os.getpid())
    signal.pause()


def tell_and_fail(tell: Tell) -> None:
    tell("begun")
    raise TaskFailed("no picture in it")


def send(message: bytes, times: int, *tell: Tell) -> None:
    """Take the connection over, and send what no Teller would."""
    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as connection:
        for _ in range(times):
            connection.send(message)
    signal.pause()


def reply_with_garbage_and_descriptors() -> None:
    """Take the connection over, as a hostile file might."""
    descriptors = array.array("i", [0, 1, 2])
    with socket.socket(fileno=os.dup(int(sys.argv[1]))) as connection:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)
        connection.sendmsg([b"\xc1garbage"], [rights])
    signal.pause()


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _read(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.unlink(path)
