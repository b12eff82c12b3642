"""Where outputs lie, what is left there, by jobs or past them, and the end of its time."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from dragon.engine.files.expiry import Expiry
from dragon.engine.files.outputs import Outputs
from dragon.schemas import Claim
from dragon.settings import Settings, StoreSettings
from dragon.storage.bucket import Bucket
from dragon.storage.parts import PART_BYTES
from dragon.store.store import Store
from dragon.task import File
from tests.support.jobs import line_of
from tests.support.stores import make_due

PATH = "acme/2026-01-02/KEY/1/cat.jpg"
LARGE = PART_BYTES + 100_000
"""Two parts."""


class Place(Struct):
    """Outputs, and a look at what is kept there past them."""

    outputs: Outputs
    left: Callable[[], list[str]]
    read: Callable[[str], bytes]


def in_bucket(settings: Settings, store: StoreSettings) -> Outputs:
    return Outputs(msgspec.structs.replace(settings, stores={"media": store}, output_store="media"))


def made(folder: Path, name: str = "cat.jpg", content: bytes = b"meow") -> File:
    path = folder / f"made-{name}"
    path.write_bytes(content)
    return File(name=name, filename=name, content_type="image/jpeg", path=path)


def random_file(folder: Path, size: int = 1000) -> Path:
    """Always the same one of that size."""
    path = folder / "made"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


async def keep(bucket: Bucket, file: Path, path: str = PATH) -> int:
    return await bucket.keep(file, path, "image/jpeg")


async def end(store: Store, outputs: Outputs, claim: Claim, *files: File) -> None:
    """The job has succeeded, with these files."""
    kept = await outputs.keep(claim, files)
    assert await store.finish(claim, "success", line_of(claim.job.key, "success"), kept)


async def expire(store: Store, outputs: Outputs) -> int:
    """The time of all that has ended is over; how many of them are left."""
    await make_due(store)
    return await Expiry(store, outputs).run_once()
