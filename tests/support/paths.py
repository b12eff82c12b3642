"""Where the project and its media files lie."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
MEDIA = ROOT / "tests" / "media"
