"""Sources that lie in stores: by their addresses, and as files of other tasks."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragon.engine.files.outputs import Outputs
from dragon.engine.worker.sources import Sources
from dragon.errors import TaskFailed, TaskInterrupted
from dragon.schemas import SIGNED
from dragon.settings import Settings, StoreSettings
from dragon.storage.stores import Stores
from dragon.store.store import Store
from tests.support.http_faults import Fault, FaultyServer, choose
from tests.support.jobs import line_of
from tests.support.s3 import PREFIX, Look
from tests.support.stores import FILE, run_one

KEY = "A" * 26


class Bench:
    """What runs of one account may read."""

    def __init__(self, store: Store, settings: Settings, folder: Path) -> None:
        self.outputs = Outputs(settings)
        self._parts: dict[str, Any] = {
            "settings": settings,
            "store": store,
            "outputs": self.outputs,
            "downloads": None,
        }
        self._path = folder / "source"

    async def fetch(self, url: str, account: str = "acme") -> bytes:
        source = await Sources(account, **self._parts).fetch(url, self._path)
        assert source.url == url
        assert source.size == source.path.stat().st_size
        content = source.path.read_bytes()
        source.path.unlink()
        return content

    async def words(self, url: str, account: str = "acme") -> str:
        with pytest.raises(TaskFailed) as refused:
            await self.fetch(url, account)
        assert not self._path.exists()
        return refused.value.message


@pytest.fixture
def with_media(settings: Settings, look: Look, faulty: FaultyServer) -> Settings:
    return msgspec.structs.replace(
        settings, stores={"media": look.settings(faulty.url, retry_seconds=0.5)}
    )


@pytest.fixture
def bench(store: Store, with_media: Settings, tmp_path: Path) -> Bench:
    return Bench(store, with_media, tmp_path)


def url(look: Look, path: str) -> str:
    return f"s3://{look.name}/{PREFIX}/{path}"


async def test_a_source_is_fetched_from_a_store(bench: Bench, look: Look) -> None:
    look.put("in/some cat.jpg?", b"meow")
    look.put("in/some%20cat.jpg?", b"purr")
    assert await bench.fetch(url(look, "in/some cat.jpg?")) == b"meow"
    assert await bench.fetch(url(look, "in/some%20cat.jpg?")) == b"purr"


async def test_a_source_that_is_not_there_is_told(bench: Bench, look: Look) -> None:
    asked = url(look, "none")
    words = f"File '{asked}' could not be read: there is no such file"
    assert await bench.words(asked) == words


@pytest.mark.parametrize(
    "asked", ["s3://elsewhere/x", "gs://{bucket}/kept/here/x", "s3://{bucket}/kept/herein/x"]
)
async def test_what_lies_in_no_store_is_refused(bench: Bench, look: Look, asked: str) -> None:
    words = await bench.words(asked.format(bucket=look.name))
    assert words.endswith("it lies in no store that tasks may read (setting stores)")


@pytest.mark.parametrize("path", ["../x", "a/../../x", "./x", "a//b", ""])
async def test_no_path_leads_out_of_a_store(bench: Bench, look: Look, path: str) -> None:
    assert "it lies in no store" in await bench.words(url(look, path))


async def test_a_store_may_be_no_source(store: Store, settings: Settings, look: Look) -> None:
    look.put("x", b"x")
    closed = msgspec.structs.replace(settings, stores={"media": look.settings(is_source=False)})
    assert "it lies in no store" in await Bench(store, closed, Path(settings.data)).words(
        url(look, "x")
    )


async def test_a_source_that_is_too_large_is_not_fetched(
    store: Store, with_media: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    look.put("x", b"x" * 1001)
    small = msgspec.structs.replace(with_media, fetch_max_bytes=1000)
    words = await Bench(store, small, tmp_path).words(url(look, "x"))
    assert words.endswith("it is larger than 1000 bytes (setting fetch_max_bytes)")
    assert faulty.count("GET") == 0


async def test_a_store_that_does_not_answer_interrupts_the_task(
    bench: Bench, look: Look, faulty: FaultyServer
) -> None:
    look.put("x", b"x")
    faulty.choose = choose(Fault(status=503))
    with pytest.raises(TaskInterrupted, match="the store of files does not answer"):
        await bench.fetch(url(look, "x"))


async def test_a_store_that_is_slow_interrupts_the_task(
    store: Store, with_media: Settings, look: Look, faulty: FaultyServer, tmp_path: Path
) -> None:
    look.put("x", b"x")
    faulty.choose = choose(Fault(delay_seconds=60))
    brief = msgspec.structs.replace(with_media, fetch_timeout_seconds=0.2)
    with pytest.raises(TaskInterrupted, match=r"it took longer than 0\.2 seconds"):
        await Bench(store, brief, tmp_path).fetch(url(look, "x"))


async def test_what_other_accounts_made_is_theirs(bench: Bench, look: Look) -> None:
    path = f"other/2026-01-02/{KEY}/1/cat.jpg"
    for place in (path, f"deeper/{path}"):
        look.put(place, b"meow")
        assert await bench.fetch(url(look, place), "other") == b"meow"
        words = await bench.words(url(look, place), "acme")
        assert words == (await bench.words(url(look, "none"))).replace(
            url(look, "none"), url(look, place)
        )
    look.put(within := f"acme/2026-01-02/{KEY}/{path}", b"meow")
    assert "there is no such file" in await bench.words(url(look, within), "acme")


def test_of_several_stores_the_one_that_is_nearest_is_read() -> None:
    settings = Settings(
        stores={
            "all": StoreSettings(url="s3://media"),
            "cats": StoreSettings(url="s3://media/animals/cats"),
            "animals": StoreSettings(url="s3://media/animals/"),
        }
    )
    for asked, name, path in (
        ("s3://media/animals/cats/1.jpg", "cats", "1.jpg"),
        ("s3://media/animals/dogs/1.jpg", "animals", "dogs/1.jpg"),
        ("s3://media/animals.jpg", "all", "animals.jpg"),
    ):
        found = Stores(settings).find_source(asked)
        assert found
        assert (found[0].name, found[1]) == (name, path)


# Files of other tasks


async def ended(store: Store, *files: Any) -> str:
    """The key of a job of acme's that has made these."""
    claim = await run_one(store, account="acme")
    assert await store.finish(claim, "success", line_of(claim.job.key, "success"), files)
    return claim.job.key


async def test_a_file_of_another_task_is_fetched_from_its_store(
    bench: Bench, store: Store, look: Look
) -> None:
    look.put("a/b", b"meow")
    key = await ended(store, msgspec.structs.replace(FILE, store="media"))
    assert await bench.fetch(f"dragon:{key}/out") == b"meow"
    assert "there is no such task" in await bench.words(f"dragon:{key}/out", "other")


async def test_a_file_whose_store_is_gone_has_expired(bench: Bench, store: Store) -> None:
    key = await ended(store, msgspec.structs.replace(FILE, store="gone"))
    assert "or it has expired" in await bench.words(f"dragon:{key}/out")


async def test_a_file_at_a_signed_url_is_only_its_owners(bench: Bench, store: Store) -> None:
    file = msgspec.structs.replace(FILE, store=SIGNED, path="https://acme.example.com/x")
    key = await ended(store, file)
    assert "only its owner has it" in await bench.words(f"dragon:{key}/out")
