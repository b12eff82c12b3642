"""Landlock: takes the file system and foreign signals from this process, for good."""

import os
import stat
import struct
from collections.abc import Iterable

from dragon import kernel

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_FILE, MAKE_FILE, TRUNCATE = 1 << 5, 1 << 8, 1 << 14
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""The rights that a rule for a file, and not a directory, may name."""

READ = READ_FILE | READ_DIRECTORY
WRITE = READ | WRITE_FILE | REMOVE_FILE | MAKE_FILE | TRUNCATE
ALL_SINCE_ABI = {1: 0x1FFF, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights on files by the version that brought them: everything, rename, truncate, ioctl."""

BIND_AND_CONNECT_TCP = 0b11
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def restrict(
    readable: Iterable[str], *, writable: Iterable[str] = (), executable: Iterable[str] = ()
) -> str:
    """Leave only reading of `readable` (files, or directories with all beneath); no_new_privs set.

    In `writable` directories regular files can be made, changed and removed; `executable` files
    can be read, too. Holds for this thread and those it starts. Returns what is in force; raises
    OSError.
    """
    abi = kernel.system_call(CREATE_RULESET, None, 0, ASK_VERSION)
    known = sum(rights for since, rights in ALL_SINCE_ABI.items() if abi >= since)
    ruleset = _create_ruleset(abi, known)
    try:
        for paths, rights in ((readable, READ), (writable, WRITE), (executable, READ | EXECUTE)):
            for path in paths:
                _allow(ruleset, path, rights & known)
        kernel.system_call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return f"landlock (ABI {abi})"


def _create_ruleset(abi: int, files: int) -> int:
    attributes = struct.pack("=Q", files)
    if abi >= 4:
        attributes += struct.pack("=Q", BIND_AND_CONNECT_TCP)
    if abi >= 6:
        attributes += struct.pack("=Q", ABSTRACT_SOCKETS_AND_SIGNALS)
    return kernel.system_call(CREATE_RULESET, attributes, len(attributes), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, or not ours to read, needs no rule
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        kernel.system_call(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
