"""A seccomp filter: no new processes or sockets, no reaching into other processes and files."""

import ctypes
import errno
import os
import platform
import struct

from dragon import kernel

ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}

# fmt: off
DENIED = {  # each as (x86_64, aarch64)
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "socket": (41, 198), "io_uring_setup": (425, 425), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "pidfd_open": (434, 434),
    "open_tree": (428, 428), "personality": (135, 92), "shmget": (29, 194),
    # Landlock lets whoever owns a file change what is known of it.
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
}
CLONE, CLONE3, KILL, TGKILL, PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
# fmt: on

CLONE_THREAD = 0x1_0000
FIRST_X32_CALL = 0x4000_0000

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
CALL_NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, FAIL, KILL_PROCESS = 0x7FFF_0000, 0x0005_0000, 0x8000_0000


def restrict(*, may_execute: bool = False) -> str:
    """Put the filter on this thread and those it starts; no_new_privs must be set.

    With `may_execute` the process may become another program, though it still starts none.
    Returns what is in force; raises OSError.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter is written for {machine}")
    column = tuple(ARCHITECTURES).index(machine)
    denied = [
        numbers[column] for name, numbers in DENIED.items() if name != "execve" or not may_execute
    ]
    program = _program(ARCHITECTURES[machine], column, denied, os.getpid())
    buffer = ctypes.create_string_buffer(program)
    length_and_address = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    mode_filter = 2
    kernel.prctl(kernel.PR_SET_SECCOMP, mode_filter, length_and_address)
    return "seccomp"


def _program(architecture: int, column: int, denied: list[int | None], pid: int) -> bytes:
    return b"".join(
        [
            _instruction(LOAD, ARCHITECTURE),
            _instruction(EQUAL, architecture, if_true=1),
            _instruction(RETURN, KILL_PROCESS),
            _instruction(LOAD, CALL_NUMBER),
            _instruction(AT_LEAST, FIRST_X32_CALL, if_false=1),
            _instruction(RETURN, FAIL | errno.EPERM),
            *[_fail(number, errno.EPERM) for number in denied if number is not None],
            # The C library then starts its threads by clone, whose flags can be seen.
            _fail(CLONE3[column], errno.ENOSYS),
            _fail_unless(CLONE[column], ANY_BIT, CLONE_THREAD),
            _fail_unless(KILL[column], EQUAL, pid),
            _fail_unless(TGKILL[column], EQUAL, pid),
            _fail_unless(PRLIMIT[column], EQUAL, 0),
            _instruction(RETURN, ALLOW),
        ]
    )


def _fail(number: int, error: int) -> bytes:
    return _instruction(EQUAL, number, if_false=1) + _instruction(RETURN, FAIL | error)


def _fail_unless(number: int, test: int, first_argument: int) -> bytes:
    return (
        _instruction(LOAD, CALL_NUMBER)
        + _instruction(EQUAL, number, if_false=3)
        + _instruction(LOAD, FIRST_ARGUMENT)
        + _instruction(test, first_argument, if_true=1)
        + _instruction(RETURN, FAIL | errno.EPERM)
    )


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
