"""The few Linux system calls that Python does not offer, each raising OSError."""

import ctypes
import os
import signal
import struct
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000

# Loaded with this module: after a fork, another thread may hold the loader's lock for good.
_LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the parent is; ends this process at once if that one is gone already.

    On Linux only; elsewhere a process may outlive a parent that was killed.
    """
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent_pid:
        sys.exit(f"process {parent_pid}, which started this one, is gone")


def prctl(option: int, first: Any, second: Any = None) -> None:
    arguments = [_argument(value) for value in (first, second, 0, 0)]
    _checked(_LIBC.prctl(option, *arguments))


def unshare(flags: int) -> None:
    _checked(_LIBC.unshare(flags))


def drop_capabilities() -> None:
    """Give up what root may do; without it a broken decoder run by root could mount or trace."""
    version_3_of_this_process = struct.pack("=Ii", 0x2008_0522, 0)
    none = bytes(24)
    _checked(_LIBC.capset(version_3_of_this_process, none))


def system_call(number: int, *arguments: Any) -> int:
    return _checked(_LIBC.syscall(ctypes.c_long(number), *map(_argument, arguments)))


def _argument(value: Any) -> Any:
    """Numbers as wide as a register: ctypes would leave the upper half of one undefined."""
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_ulong(value) if isinstance(value, int) else value


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
