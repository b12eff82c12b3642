"""Remembers records of ended jobs, so that asking for them again needs no call of Valkey."""

from collections import OrderedDict

import msgspec

from dragon.schemas import Job, Record

MAX_RECORDS = 5_000
MAX_LINE_BYTES = 4_096
"""Of the status of a job: most are much smaller, and no result of a task may fill the server."""


class EndedJobs:
    """The newest of them, under any name. How long one may be used is for the caller to judge.

    A job that has ended stays as it is until it expires: nothing ever has to be taken back. Its
    parameters and metas are left out: they may be large, and who asks again gave them or has none.
    """

    def __init__(self) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()

    def get(self, name: str) -> Record | None:
        return self._records.get(name)

    def put(self, name: str, record: Record) -> None:
        if len(record.update.line) > MAX_LINE_BYTES:
            return
        self._records[name] = msgspec.structs.replace(record, job=_without_input(record.job))
        self._records.move_to_end(name)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)


def _without_input(job: Job) -> Job:
    return msgspec.structs.replace(job, params=msgspec.Raw(), metas=None)
