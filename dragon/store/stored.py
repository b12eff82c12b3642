"""The index of stored files: what each account has, of how many bytes, and for how long."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dragon.schemas import OutputFile, decode_files, is_key
from dragon.store.connection import translated_errors
from dragon.store.store import Store

PAGE = 125
"""Entries that one call handles: Valkey does nothing else meanwhile."""


class Entry(NamedTuple):
    """A stored file by its path, without the account; or a directory, whose path ends with `/`.

    `stored_us` is when the job ended, in microseconds of Unix time.
    """

    path: str
    size: int = 0
    stored_us: int = 0


class StoredIndex:
    """Of all accounts. Every method raises Unavailable when Valkey does not answer in time.

    A path is `<day>/<key>/<token>/<filename>`: it lies in the shard of its key.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def shards_of(self, path: str) -> Sequence[int]:
        """Where entries whose paths begin so may lie."""
        _, _, rest = path.partition("/")
        key = rest.partition("/")[0]
        return [self._keys.shard_of(key)] if is_key(key) else range(self._keys.shards)

    async def page(
        self, account: str, shard: int, folder: str, after: str, limit: int
    ) -> list[Entry]:
        """Files below a folder, '' or with a slash at its end, in order, from `after` on."""
        async with translated_errors():
            found: Any = await self._store.client.zrangebylex(
                self._name(account, shard), _begin(folder, after), _end(folder), 0, limit
            )
        return [entry_of(text) for text in found]

    async def browse(
        self, account: str, shard: int, folder: str, after: str, limit: int
    ) -> list[Entry]:
        """Files and directories in a folder, in order, from `after` on."""
        arguments = [account, folder, _begin(folder, after), limit]
        return [entry_of(text) for text in await self._store.run("browse", shard, arguments)]

    async def find(self, account: str, shard: int, paths: Iterable[str]) -> list[Entry]:
        """Those of these files that are there."""
        async with translated_errors(), self._store.client.pipeline(transaction=False) as pipeline:
            for path in paths:
                pipeline.zrangebylex(self._name(account, shard), f"[{path}\0", f"({path}\1")
            answers = await pipeline.execute()
        return [entry_of(text) for answer in answers for text in answer]

    async def files(self, account: str, keys: Sequence[str]) -> list[OutputFile]:
        """All that jobs of the account made, of these keys; those deleted since, too."""
        async with translated_errors(), self._store.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hmget(self._keys.job(key), "account", "files")
            answers = await pipeline.execute()
        owned = [files for owner, files in answers if owner == account.encode() and files]
        return [file for files in owned for file in decode_files(files)]

    async def unstore(
        self, account: str, shard: int, paths: Mapping[str, Sequence[str]]
    ) -> tuple[int, int]:
        """Forget files, which are deleted, by the keys of their jobs; how many, and their bytes."""
        packed = msgspec.msgpack.encode(list(paths.items()))
        count, size = await self._store.run("unstore", shard, [account, packed])
        return count, size

    async def now_us(self) -> int:
        """Valkey's own time, in which files are stored: exact, unlike a server's notion of it."""
        async with translated_errors():
            seconds, microseconds = await self._store.client.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    async def usage(self, account: str) -> int:
        """Bytes of all files."""
        return sum(int(size or 0) for size in await self._fields("usage", account))

    async def lifetime_days(self, account: str) -> int | None:
        """How long files are kept, 0 for ever; None if the account has not said so."""
        days = (await self._fields("lifetime", account))[0]
        return None if days is None else int(days)

    async def set_lifetime(self, account: str, days: int) -> None:
        """From now on, for files that are there as for those to come."""
        said_us = int(self._store.clock.now() * 1e6)
        for shard in range(self._keys.shards):
            after = b""
            while after := await self._store.run(
                "lifetime", shard, [account, days, said_us, after, PAGE]
            ):
                pass

    async def _fields(self, name: str, field: str) -> list[bytes | None]:
        """The same field of a hash in every shard."""
        async with translated_errors(), self._store.client.pipeline(transaction=False) as pipeline:
            for shard in range(self._keys.shards):
                pipeline.hget(self._keys.base(shard) + name, field)
            answers: list[bytes | None] = await pipeline.execute()
        return answers

    def _name(self, account: str, shard: int) -> str:
        return f"{self._keys.base(shard)}stored:{account}"


def _begin(folder: str, after: str) -> str:
    """As a bound of a range: after an entry, and all below it if it is a directory."""
    if after.endswith("/"):
        # What comes after the slash.
        return f"[{folder}{after[:-1]}0"
    return f"[{folder}{after}\1" if after else f"[{folder}"


def _end(folder: str) -> bytes:
    """As a bound of a range: no byte of a path is as high."""
    return f"({folder}".encode() + b"\xff"


def entry_of(text: bytes) -> Entry:
    """As it stands in the index; or just the path of a directory."""
    path, _, about = text.partition(b"\0")
    if not about:
        return Entry(path.decode())
    size, _, stored_us = about.partition(b" ")
    return Entry(path.decode(), int(size), int(stored_us))
