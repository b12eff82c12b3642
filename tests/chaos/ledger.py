"""Remembers what was acknowledged and what each waiter was told."""

from collections.abc import Iterable, Sequence
from typing import Any

FINAL = ("success", "error")


class Ledger:
    """A job has one end: whoever tells another one is caught."""

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self.ends: dict[str, Any] = {}

    @property
    def keys(self) -> list[str]:
        """Of all jobs that were acknowledged."""
        return list(self._keys)

    def acknowledge(self, statuses: Iterable[Any]) -> list[str]:
        keys = []
        for status in statuses:
            keys.append(status["key"])
            self._keys[status["key"]] = None
            if status["status"] in FINAL:
                self.tell(status)
        return keys

    def forget(self, keys: Iterable[str]) -> None:
        """Their records may expire."""
        for key in keys:
            self._keys.pop(key, None)
            self.ends.pop(key, None)

    def tell(self, final: Any) -> None:
        assert final["status"] in FINAL, final
        known = self.ends.setdefault(final["key"], final)
        assert final == known, f"two waiters were told different ends: {final} and {known}"


def finals_of(lines: Sequence[Any]) -> dict[str, Any]:
    """By key; each job's end must stand in a stream's lines once."""
    first, *rest = lines
    ends = [line for line in [*first, *rest] if line["status"] in FINAL]
    assert len({end["key"] for end in ends}) == len(ends), "an end was told twice"
    return {end["key"]: end for end in ends}
