"""What an account asks of its files is done whole, also where it leaves before the answer."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from dragon.engine.files.file_jobs import FileJobs
from dragon.engine.files.outputs import Outputs
from dragon.engine.files.stored_files import DAY_SECONDS, Selection, StoredFiles
from dragon.schemas import Claim, OutputFile
from dragon.settings import Settings
from dragon.store.store import Store
from dragon.store.stored import PAGE, StoredIndex
from tests.support.stores import finish, made, read, run_one
from tests.support.waiting import cancelled_in_each_turn
from tests.support.watchers import Process


class ToldStore(Store):
    """Tells that a script has run."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.has_run = asyncio.Event()

    async def run(self, name: str, shard: int, arguments: Sequence[Any]) -> Any:
        answer = await super().run(name, shard, arguments)
        self.has_run.set()
        return answer


class ToldOutputs(Outputs):
    """Tells that files were deleted."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.has_deleted = asyncio.Event()

    async def delete_files(self, files: Iterable[OutputFile]) -> None:
        await super().delete_files(files)
        self.has_deleted.set()


async def leave(asking: asyncio.Task[Any], moment: asyncio.Event) -> None:
    """As a client does whose connection is lost at that moment."""
    await moment.wait()
    with pytest.raises(asyncio.CancelledError):
        # Once may not be enough: libraries lose some.
        await cancelled_in_each_turn(asking)


async def end(store: Store, count: int = 1) -> tuple[Claim, Sequence[OutputFile]]:
    """A job that ended with so many files."""
    held = await run_one(store)
    files = made(held, *[1] * count)
    assert await finish(store, held, files=files)
    return held, files


async def test_a_file_that_is_deleted_is_listed_no_more(
    process: Process, settings: Settings
) -> None:
    store, outputs = process.store, ToldOutputs(settings)
    _, [file] = await end(store)
    path = outputs.path(file)
    path.parent.mkdir(parents=True)
    path.touch()
    files = StoredFiles(settings, store, outputs, FileJobs(settings, process.engine, store.clock))
    asking = asyncio.create_task(files.delete("acme", Selection(), is_dry=False))
    await leave(asking, outputs.has_deleted)
    assert not path.exists()
    assert await StoredIndex(store).page("acme", 0, "", "", PAGE) == []


async def test_all_files_are_kept_as_long_as_was_said(settings: Settings) -> None:
    async with ToldStore(settings) as store:
        # More than two scripts look at: what was sent already is done in any case.
        jobs = [(await end(store, PAGE))[0].job for _ in range(3)]
        nobody: Any = None
        files = StoredFiles(settings, store, Outputs(settings), nobody)
        store.has_run.clear()
        asking = asyncio.create_task(files.set_expiration("acme", 5))
        await leave(asking, store.has_run)
        for job in jobs:
            assert (await read(store, job.key)).expires > store.clock.now() + 4 * DAY_SECONDS
