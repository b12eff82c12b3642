"""Remembers records of ended jobs, so that asking for them again needs no call of Valkey."""

from collections import OrderedDict
from collections.abc import Set

from dragon.schemas import Record

MAX_RECORDS = 5_000
MAX_LINE_BYTES = 4_096
"""Of the status of a job: most are much smaller, and no result of a task may fill the server."""


class EndedJobs:
    """The newest of them, under any name. How long one may be used is for the caller to judge.

    A job that has ended stays as it is until it expires, unless files of it are deleted before.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()
        self.drops = 0
        """How many times records were dropped: see `put`."""

    def get(self, name: str) -> Record | None:
        return self._records.get(name)

    def put(self, name: str, record: Record, drops: int) -> None:
        """`drops` as they were before the record was read: by now it may be outdated."""
        if drops != self.drops or len(record.update.line) > MAX_LINE_BYTES:
            return
        self._records[name] = record
        self._records.move_to_end(name)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)

    def drop(self, keys: Set[str]) -> None:
        """Forget what is known of these jobs; of all, if none is named."""
        self.drops += 1
        records = self._records.items()
        for name in [name for name, one in records if not keys or one.update.key in keys]:
            del self._records[name]
