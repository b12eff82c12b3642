"""Confined programs for tests: the real ffmpeg, and Python in its place to act as it is told."""

import sys
import sysconfig
from pathlib import Path
from typing import Any

import msgspec

from dragon.engine.isolation.program import Programs, ProgramSettings
from dragon.task import File, Source
from tests.support.decoders import MIB

PYTHON = str(Path(sys.executable).resolve())
TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25")


def programs(**changes: Any) -> Programs:
    usual = ProgramSettings(
        ffmpeg="", memory_bytes=1024 * MIB, max_file_bytes=64 * MIB, cpu_seconds=60
    )
    return Programs(msgspec.structs.replace(usual, **changes))


def python(**changes: Any) -> Programs:
    """Python as the program: what an ffmpeg would do that a file has taken over."""
    return programs(ffmpeg=PYTHON, **changes)


def code(text: str) -> list[str | Source | File]:
    """Arguments that let Python run `text`; its first argument lets it read what it needs."""
    library = Path(sysconfig.get_path("stdlib")).parent
    return ["ffmpeg", "-I", "-S", "-c", text, Source(url="", path=library, size=0)]


def in_force(programs: Programs, *measures: str) -> bool:
    return any(not programs.confinement[measure].startswith("none: ") for measure in measures)
