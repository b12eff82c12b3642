"""Where files of outputs lie on the local disk, and how they are deleted."""

from pathlib import Path

import msgspec
import pytest

from dragon.engine.expiry import Expiry
from dragon.engine.outputs import Outputs
from dragon.errors import StorageUnavailable
from dragon.schemas import Claim
from dragon.settings import Settings
from dragon.store.store import Store
from dragon.task import File
from tests.jobs import line_of
from tests.stores import read, run_one
from tests.support import until


@pytest.fixture
def outputs(settings: Settings) -> Outputs:
    return Outputs(settings)


def made(folder: Path, name: str = "cat.jpg", content: bytes = b"meow") -> File:
    path = folder / f"made-{name}"
    path.write_bytes(content)
    return File(name=name, filename=name, content_type="image/jpeg", path=path)


def left(settings: Settings) -> list[str]:
    """All that lies where files are kept, directories too."""
    root = Path(settings.data) / "files"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


async def end(store: Store, outputs: Outputs, claim: Claim, *files: File) -> None:
    """The job has succeeded, with these files."""
    kept = await outputs.keep(claim, files)
    assert await store.finish(claim, "success", line_of(claim.job.key, "success"), kept)


async def test_a_path_tells_account_day_key_and_attempt(
    store: Store, outputs: Outputs, tmp_path: Path
) -> None:
    claim = await run_one(store)
    [file] = await outputs.keep(claim, [made(tmp_path)])
    job = claim.job
    assert file.path == f"{job.account}/{job.queued[:10]}/{job.key}/{claim.token}/cat.jpg"
    assert (file.size, file.store) == (4, "")
    assert outputs.path(file).read_bytes() == b"meow"
    assert outputs.url(file, "http://here", job.key) == f"http://here/files/{job.key}/cat.jpg"


async def test_a_file_that_was_kept_with_a_partial_result_is_kept_again(
    store: Store, outputs: Outputs, tmp_path: Path
) -> None:
    claim = await run_one(store)
    file = made(tmp_path)
    [first] = await outputs.keep(claim, [file])
    assert await outputs.keep(claim, [file]) == (first,)
    file.path.write_bytes(b"purr!")
    [second] = await outputs.keep(claim, [file])
    assert (second.path, second.size) == (first.path, 5)


async def test_what_a_run_kept_in_vain_is_discarded_and_nothing_else(
    store: Store, outputs: Outputs, settings: Settings, tmp_path: Path
) -> None:
    claim = await run_one(store)
    later = msgspec.structs.replace(claim, token=claim.token + 1)
    await outputs.keep(claim, [made(tmp_path)])
    [winner] = await outputs.keep(later, [made(tmp_path)])
    await outputs.discard(claim)
    await outputs.discard(claim)
    assert outputs.path(winner).exists()
    assert winner.path in left(settings)
    assert not any(f"/{claim.token}" in path for path in left(settings))


async def test_files_are_deleted_one_by_one_with_the_directories_that_are_empty_then(
    store: Store, outputs: Outputs, settings: Settings, tmp_path: Path
) -> None:
    claim = await run_one(store)
    files = await outputs.keep(claim, [made(tmp_path, "a.jpg"), made(tmp_path, "b.jpg")])
    await outputs.delete_files(files[:1])
    assert [outputs.path(file).exists() for file in files] == [False, True]
    await outputs.delete_files(files)
    assert left(settings) == []


async def test_a_record_is_forgotten_with_the_files_of_all_its_attempts(
    settings: Settings, outputs: Outputs, tmp_path: Path
) -> None:
    async with Store(settings) as store:
        claim = await run_one(store, retention_seconds=1)
        lost = msgspec.structs.replace(claim, token=claim.token + 7)
        await outputs.keep(lost, [made(tmp_path)])
        await end(store, outputs, claim, made(tmp_path))
        assert len(left(settings)) == 7
        await until(lambda: store.expired_keys(0))
        assert await Expiry(store, outputs).run_once() == 0
        assert await store.read([claim.job.key]) == [None]
    assert left(settings) == []


async def test_files_from_before_the_paths_told_account_and_day_are_deleted_too(
    store: Store, outputs: Outputs, settings: Settings, tmp_path: Path
) -> None:
    claim = await run_one(store)
    await end(store, outputs, claim, made(tmp_path))
    record = await read(store, claim.job.key)
    [file] = record.files
    old = msgspec.structs.replace(file, path=f"AB/{claim.job.key}/1/cat.jpg")
    outputs.path(old).parent.mkdir(parents=True)
    outputs.path(file).rename(outputs.path(old))
    await outputs.delete(msgspec.structs.replace(record, files=(old,)))
    assert left(settings) == []


async def test_a_record_stays_as_long_as_its_files_cannot_be_deleted(
    settings: Settings, outputs: Outputs, tmp_path: Path
) -> None:
    async with Store(settings) as store:
        stuck, fine = [await run_one(store, retention_seconds=1) for _ in range(2)]
        for claim in (stuck, fine):
            await end(store, outputs, claim, made(tmp_path))
        [file] = (await read(store, stuck.job.key)).files
        # A directory in the file's place cannot be unlinked, whoever asks.
        outputs.path(file).unlink()
        outputs.path(file).mkdir()
        with pytest.raises(StorageUnavailable, match="files could not be deleted"):
            await outputs.delete_files([file])

        async def both() -> bool:
            return len(await store.expired_keys(0)) == 2

        await until(both)
        assert await Expiry(store, outputs).run_once() == 1
        assert await store.expired_keys(0) == [stuck.job.key]
        outputs.path(file).rmdir()
        assert await Expiry(store, outputs).run_once() == 0
        assert await store.expired_keys(0) == []
