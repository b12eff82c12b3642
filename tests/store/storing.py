"""Jobs that end with stored files, alone and as families."""

from collections.abc import Sequence
from typing import Any

from dragon.schemas import Claim, OutputFile
from dragon.store.store import Store
from dragon.store.stored import StoredIndex
from tests.support.jobs import child_of, submission
from tests.support.stores import claim, finish, made, read, run_one, submit


def path_of(file: OutputFile) -> str:
    return file.path.partition("/")[2]


async def end(store: Store, *sizes: int, **options: Any) -> tuple[Claim, Sequence[OutputFile]]:
    """A job that ended with files as large as that."""
    held = await run_one(store, **options)
    files = made(held, *sizes)
    assert await finish(store, held, files=files)
    return held, files


async def delete(index: StoredIndex, files: Sequence[OutputFile]) -> tuple[int, int]:
    """All of one job."""
    account, _, key, *_ = files[0].path.split("/")
    return await index.unstore(account, 0, {key: list(map(path_of, files))})


async def parent_of(store: Store, above: Claim | None = None, **options: Any) -> Claim:
    options["kind"] = "flow"
    request = child_of(store, above, **options) if above else submission(store, **options)
    await submit(store, request)
    [held] = await claim(store, kind="flow")
    return held


async def end_child(
    store: Store, above: Claim, *sizes: int, place: int = 1, **options: Any
) -> tuple[str, Sequence[OutputFile]]:
    [key] = await submit(store, child_of(store, above, place=place, **options))
    [held] = await claim(store)
    files = made(held, *sizes)
    assert await finish(store, held, files=files)
    return key, files


async def family_of(store: Store, **options: Any) -> tuple[list[str], Sequence[OutputFile]]:
    """Keys of three generations that have ended, and the file that the last one made."""
    top = await parent_of(store, **options)
    middle = await parent_of(store, top, **options)
    child, files = await end_child(store, middle, 5, **options)
    await finish(store, middle)
    await finish(store, top)
    return [top.job.key, middle.job.key, child], files


async def seconds_kept(store: Store, key: str) -> float:
    return (await read(store, key)).expires - store.clock.now()
