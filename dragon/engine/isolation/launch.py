"""A program's launcher: confines itself, tells how, then becomes the program."""

import os
import signal
import sys

import msgspec
from msgspec import Struct

from dragon.engine.isolation.confine import confine_program, leave_network, limit_cpu
from dragon.kernel import die_with_parent

NOT_STARTED = 127
"""The exit status of a launcher that became nothing; the last line it wrote says why."""


class Launch(Struct, frozen=True, kw_only=True):
    """What to become, and within which limits; `program` begins with the path of the binary."""

    parent_pid: int
    program: tuple[str, ...]
    environment: dict[str, str]
    readable: tuple[str, ...]
    writable: str
    memory_bytes: int
    max_file_bytes: int
    cpu_seconds: int


def main(launch: Launch) -> None:
    """Does not return. The first line on stderr is the confinement, as JSON."""
    confinement = {"network": leave_network()}
    # Now, as the new user namespace that it may have taken forgets this.
    die_with_parent(launch.parent_pid)
    binary = launch.program[0]
    confinement |= confine_program(
        binary,
        readable=launch.readable,
        writable=launch.writable,
        memory_bytes=launch.memory_bytes,
        max_file_bytes=launch.max_file_bytes,
        cpu_seconds=launch.cpu_seconds,
    )
    os.write(sys.stderr.fileno(), msgspec.json.encode(confinement) + b"\n")
    _restore_signals()
    limit_cpu(launch.cpu_seconds)
    try:
        os.execve(binary, launch.program, launch.environment)  # noqa: S606
    except OSError as error:
        os.write(sys.stderr.fileno(), f"{binary}: {error.strerror}\n".encode())
        sys.exit(NOT_STARTED)


def _restore_signals() -> None:
    """Python ignores these, and so would the program, for which they are limits."""
    for number in (signal.SIGXFSZ, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Launch))
