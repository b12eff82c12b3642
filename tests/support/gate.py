"""Where tasks wait until a test lets them go."""

from pathlib import Path
from typing import Any

from tests.support.waiting import eventually


class Gate:
    """Where tasks wait until the test lets them go."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def task(self, name: str = "site.gate") -> dict[str, Any]:
        return {"task_name": name, "path": str(self.path)}

    async def runs(self, count: int) -> None:
        """Wait until so many runs have come to it, and no more."""
        await self.has_seen(count)
        assert self.count() == count

    async def has_seen(self, count: int) -> None:
        """The same where one more may come: whoever loses a worker may lose another."""
        await eventually(lambda: self.count() >= count)

    def open(self) -> None:
        self.path.touch()

    def count(self) -> int:
        return len(list(self.path.parent.glob(self.path.name + ".*.started")))
