"""The few Linux system calls that Python does not offer, each raising OSError."""

import ctypes
import os
import struct
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000


def prctl(option: int, first: Any, second: Any = None) -> None:
    arguments = [_argument(value) for value in (first, second, 0, 0)]
    _checked(_libc().prctl(option, *arguments))


def unshare(flags: int) -> None:
    _checked(_libc().unshare(flags))


def drop_capabilities() -> None:
    """Give up what root may do; without it a broken decoder run by root could mount or trace."""
    version_3_of_this_process = struct.pack("=Ii", 0x2008_0522, 0)
    none = bytes(24)
    _checked(_libc().capset(version_3_of_this_process, none))


def system_call(number: int, *arguments: Any) -> int:
    return _checked(_libc().syscall(ctypes.c_long(number), *map(_argument, arguments)))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


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
