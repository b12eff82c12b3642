"""Whoever waits for a file costs little, however much its task tells meanwhile."""

import asyncio
from typing import Any

from dragon.engine.files.file_jobs import FileJobs, Wish
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.jobs import line_of, submission
from tests.support.waiting import eventually
from tests.support.watchers import Process, finish

TOLD = 40


async def count_reads(store: Store) -> int:
    """Also those of scripts, of which `progress` makes one."""
    statistics: Any = await store.client.info("commandstats")
    return int(statistics["cmdstat_hmget"]["calls"])


async def test_what_is_told_beside_the_same_result_has_no_record_read_again(
    process: Process, settings: Settings
) -> None:
    store = process.store
    [held] = await process.start_jobs()
    key = held.job.key
    jobs = FileJobs(settings, process.engine, store.clock)

    async def tell(progress: int) -> None:
        line = line_of(key, "executing", progress=progress, result={"first": "http://first"})
        assert await store.progress(held, line)

    await tell(0)
    waiting = asyncio.create_task(jobs.wait(key, Wish(filename="second")))
    await eventually(lambda: process.watches.count == 1)
    before = await count_reads(store)
    for progress in range(TOLD):
        await tell(progress)
    await finish(store, held)
    assert (await waiting).update.is_final
    assert await count_reads(store) - before < TOLD * 1.25


async def test_a_record_that_many_read_at_once_is_read_once(store: Store) -> None:
    request = submission(store, 2)
    await store.submit(request)
    first, second = (job.key for job in request.jobs)
    before = await count_reads(store)
    keys = [first, second, first, "A" * 26] * 50
    records = await store.read(keys)
    assert await count_reads(store) - before == 3
    found = [record.job.key if record else "A" * 26 for record in records]
    assert found == keys
