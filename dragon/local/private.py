"""Files that only their owner may read."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct


def write_private(path: Path, content: Struct) -> None:
    """As JSON; whole or not at all, and at no moment readable by others."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(content))
    draft.rename(path)
