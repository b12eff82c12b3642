"""A wall clock for one process, which a test sets wrong while the process runs."""

from importlib.util import find_spec
from pathlib import Path


class Clock:
    """So many seconds off the machine's; what the monotonic clock says is left alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        """Jump: from now on it is so far ahead of the machine's, or behind it."""
        self.seconds = seconds
        # In one step, for the process reads the file each time it asks for the time.
        new = self._path.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._path)

    def environment(self) -> dict[str, str]:
        """What a process must be started with."""
        # Never imported, as that would set the clock of the test.
        package = find_spec("libfaketime")
        assert package
        assert package.origin
        library = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
