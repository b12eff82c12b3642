"""Many stored files on a real Valkey: no call of it takes long, and several shards are one list."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from dragon.engine.engine import Engine
from dragon.engine.files.file_jobs import FileJobs
from dragon.engine.files.outputs import Outputs
from dragon.engine.files.stored_files import ListedFile, Selection, StoredFiles
from dragon.engine.watching import Watches
from dragon.registry import Registry
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.waiting import DEADLINE_SECONDS, until

DAYS = ("2026-11-20", "2026-11-21")
FILES_OF_A_JOB = 10
SIZE = 7

LONGEST_MS = 1000
"""Of any call: very many times what one takes, for busy machines. All at once would take 1.5 s."""


@asynccontextmanager
async def stored_files(settings: Settings, jobs: int) -> AsyncIterator[tuple[Store, StoredFiles]]:
    """An account that has so many jobs with files."""
    async with Store(settings) as store:
        engine = Engine(settings, Registry([]), store, Watches(store))
        await fill(store, jobs)
        known = FileJobs(settings, engine, store.clock)
        yield store, StoredFiles(settings, store, Outputs(settings), known)


async def fill(store: Store, jobs: int) -> None:
    """As if jobs had ended, on two days, with ten files each."""
    for start in range(0, jobs, 500):
        async with store.client.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + 500, jobs)):
                add_job(pipeline, store, DAYS[number % 2], number % store.keys.shards)
            await pipeline.execute()


def add_job(pipeline: Any, store: Store, day: str, shard: int) -> None:
    base, key = store.keys.base(shard), store.keys.new_job_key("", shard)
    paths = [f"{day}/{key}/1/out{place}.jpg" for place in range(FILES_OF_A_JOB)]
    files = [
        {"name": f"out{place}", "filename": f"out{place}.jpg", "content_type": "image/jpeg",
         "path": f"acme/{path}", "size": SIZE}
        for place, path in enumerate(paths)
    ]  # fmt: skip
    now_ms = int(store.clock.now() * 1000)
    fields = {"account": "acme", "since": now_ms, "storing": 1, "retention": 60_000}
    pipeline.hset(base + "job:" + key, mapping={**fields, "files": json.dumps(files)})
    pipeline.zadd(base + "expiry", {key: now_ms + 60_000})
    pipeline.zadd(base + "stored:acme", {f"{path}\0{SIZE} {now_ms}000": 0 for path in paths})
    pipeline.hincrby(base + "usage", "acme", SIZE * FILES_OF_A_JOB)


async def list_all(files: StoredFiles, limit: int) -> Sequence[ListedFile]:
    found: list[ListedFile] = []
    after: Any = ""
    while after is not msgspec.UNSET:
        page = await files.listing("acme", "", after, limit, is_recursive=True)
        assert len(page.files) <= limit
        found += page.files
        after = page.next
    return found


async def first_expiry(store: Store, shard: int) -> float:
    name = store.keys.base(shard) + "expiry"
    scores: Any = await store.client.zrange(name, 0, 0, withscores=True)
    return float(scores[0][1]) / 1000


async def test_no_call_takes_long_however_many_files_there_are(settings: Settings) -> None:
    # Valkey counts the time in which the machine holds it up, but that does not happen each time.
    assert await until(lambda: has_no_slow_call(settings), 5 * DEADLINE_SECONDS)


async def has_no_slow_call(settings: Settings) -> bool:
    settings = msgspec.structs.replace(settings, redis_prefix=secrets.token_hex(6))
    async with stored_files(settings, 10_000) as (store, files):
        await store.client.config_set("slowlog-log-slower-than", LONGEST_MS * 1000)
        await store.client.slowlog_reset()
        listed = await list_all(files, 10_000)
        assert len({file.name for file in listed}) == 100_000
        page = await files.listing("acme", DAYS[0], "", 10_000, is_recursive=False)
        assert (len(page.directories), page.usage, page.next) == (
            5_000, 100_000 * SIZE, msgspec.UNSET
        )  # fmt: skip
        await files.set_expiration("acme", 3)
        assert await first_expiry(store, 0) > store.clock.now() + 2.9 * 86_400
        dry = await files.delete("acme", Selection(), is_dry=True)
        assert (dry.deleted, dry.usage) == (100_000, 100_000 * SIZE)
        gone = await files.delete("acme", Selection(path=DAYS[1]), is_dry=False)
        assert (gone.deleted, gone.freed, gone.usage) == (50_000, 50_000 * SIZE, 50_000 * SIZE)
        return await store.client.slowlog_get() == []


@pytest.mark.parametrize("limit", [1000, 7])
async def test_several_shards_are_one_list(settings: Settings, limit: int) -> None:
    sharded = msgspec.structs.replace(settings, shards=4)
    async with stored_files(sharded, 10) as (store, files):
        listed = await list_all(files, limit)
        names = [file.name for file in listed]
        assert len(names) == len(set(names)) == 100
        assert names == sorted(names)
        page = await files.listing("acme", "", "", limit, is_recursive=False)
        assert page.directories == [f"{day}/" for day in DAYS]
        await files.set_expiration("acme", 3)
        expiration = await files.expiration("acme")
        assert (expiration.days, expiration.set_by) == (3, "account")
        for shard in range(4):
            assert await first_expiry(store, shard) > store.clock.now() + 2.9 * 86_400
        key = names[0].split("/")[1]
        page = await files.listing("acme", f"{DAYS[0]}/{key}", "", limit, is_recursive=True)
        assert len(page.files) == min(limit, FILES_OF_A_JOB)
        gone = await files.delete("acme", Selection(path=DAYS[0]), is_dry=False)
        assert (gone.deleted, gone.usage) == (50, 50 * SIZE)
        left = await list_all(files, limit)
        assert [file.name for file in left] == [name for name in names if name > DAYS[1]]
