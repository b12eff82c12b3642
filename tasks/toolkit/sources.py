"""What becomes of sources that are needed no more."""

from dragon.task import Source


def forget(source: Source) -> None:
    """Make room for others; what another task made is read where it is kept, and stays."""
    if not source.url.startswith("dragon:"):
        source.path.unlink()
