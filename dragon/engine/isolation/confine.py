"""What a child takes from itself before it sees a file: the measures, in their order."""

import glob
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from dragon import kernel
from dragon.engine.isolation import landlock, seccomp
from dragon.engine.isolation.messages import MAX_OPEN_FILES

SYSTEM_PATHS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/usr/share/fonts",
    "/usr/share/fontconfig",
    "/usr/local/share/fonts",
    "/dev/null",
    "/dev/urandom",
)
"""What the C library and libvips may still load once they are at work."""

DYNAMIC_LOADERS = ("/lib64/ld-*", "/lib/ld-*", "/lib/*/ld-linux-*")
"""Where the kernel finds what starts a program that is linked dynamically."""


def leave_network() -> str:
    """Move into a network of one's own, with nothing in it; only while there is one thread."""
    return _measure(_leave_network)


def confine(memory_bytes: int, packages: Iterable[str]) -> dict[str, str]:
    """Give up all the rest, once `packages` are imported; tells what is in force.

    Only what Python and the packages were installed as can still be read, nothing written.
    """
    readable = [*SYSTEM_PATHS, *_installed(packages)]
    threads = _threads()
    return {
        "cores": _measure(_no_cores),
        "files": _measure(_limit_files),
        "memory": _measure(lambda: _limit_memory(memory_bytes)),
        "privileges": _measure(_drop_privileges),
        "filesystem": _measure(lambda: _whole(threads, lambda: landlock.restrict(readable))),
        "system_calls": _measure(lambda: _whole(threads, seccomp.restrict)),
    }


def confine_program(
    binary: str,
    *,
    readable: Iterable[str],
    writable: str,
    memory_bytes: int,
    max_file_bytes: int,
    cpu_seconds: int,
) -> dict[str, str]:
    """The same for what is to become a program; tells what is in force.

    It can execute `binary`, read that, the libraries of the system and `readable`, and write
    regular files into the directory `writable`.
    """
    loaders = [path for pattern in DYNAMIC_LOADERS for path in glob.glob(pattern)]

    def keep_out() -> str:
        return landlock.restrict(
            [*SYSTEM_PATHS, *readable], writable=[writable], executable=[binary, *loaders]
        )

    return {
        "cores": _measure(_no_cores),
        "files": _measure(_limit_files),
        "file_size": _measure(lambda: _limit_file_size(max_file_bytes)),
        "processor": _measure(lambda: _limit_processor(cpu_seconds)),
        "memory": _measure(lambda: _limit_address_space(memory_bytes)),
        "privileges": _measure(_drop_privileges),
        "filesystem": _measure(keep_out),
        "system_calls": _measure(lambda: seccomp.restrict(may_execute=True)),
    }


def limit_cpu(seconds: float) -> None:
    """Let this process use `seconds` from now; beyond them the kernel ends it with SIGPROF.

    Not RLIMIT_CPU: it counts from the start of the process, by a coarser clock than the one that
    could be read to move it along, so that a long-lived child would be killed for the difference.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1


def _measure(take: Callable[[], str]) -> str:
    if sys.platform != "linux":
        return "none: not Linux"
    try:
        return take()
    except OSError as error:
        return f"none: {error.strerror}"


def _whole(threads: int, take: Callable[[], str]) -> str:
    """These measures do not reach threads that are there already: rather no promise than half."""
    if threads > 1:
        raise OSError(0, f"importing the warm modules started {threads - 1} threads")
    return take()


def _leave_network() -> str:
    network = kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    try:
        kernel.unshare(network)
    except PermissionError:
        kernel.unshare(network | kernel.CLONE_NEWUSER)
    return "namespace"


def _no_cores() -> str:
    """A core holds the file and takes seconds; not dumpable also stops a handler in a pipe."""
    _lower(resource.RLIMIT_CORE, 0)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    return "none are written"


def _limit_files() -> str:
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    return f"{MAX_OPEN_FILES} open"


def _limit_memory(memory_bytes: int) -> str:
    """Address space beyond what is mapped now, most of which is libraries; and one file's size."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _lower(resource.RLIMIT_AS, mapped + memory_bytes)
    _lower(resource.RLIMIT_FSIZE, memory_bytes)
    return f"{memory_bytes // 2**20} MiB"


def _limit_address_space(memory_bytes: int) -> str:
    """What is mapped now does not count, as the program replaces it."""
    _lower(resource.RLIMIT_AS, memory_bytes)
    return f"{memory_bytes // 2**20} MiB"


def _limit_file_size(max_file_bytes: int) -> str:
    _lower(resource.RLIMIT_FSIZE, max_file_bytes)
    return f"{max_file_bytes // 2**20} MiB"


def _limit_processor(seconds: int) -> str:
    """For a program that was taken over: it can take back `limit_cpu`, which comes first."""
    _lower(resource.RLIMIT_CPU, seconds + 2)
    return f"{seconds} seconds"


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))


def _drop_privileges() -> str:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    return "no capabilities, no_new_privs"


def _installed(packages: Iterable[str]) -> list[str]:
    """Where Python and these packages lie, but not what lies beside them."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for package in packages:
        spec = find_spec(package)
        if spec is not None:
            paths += spec.submodule_search_locations or [spec.origin or ""]
    return [os.path.realpath(path) for path in paths if path]
