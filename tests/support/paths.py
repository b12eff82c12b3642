"""Where the project and its media files lie, and what lies somewhere."""

from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / "tests" / "media"


def matching(folder: Path, pattern: str) -> list[Path]:
    """What lies there while others delete; glob alone fails at a directory that has just gone."""
    while True:
        with suppress(FileNotFoundError):
            return list(folder.glob(pattern))
