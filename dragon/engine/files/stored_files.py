"""What accounts do with their stored files: list them, delete some, say how long they are kept."""

import heapq
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

from msgspec import UNSET, Struct, UnsetType

from dragon.background import to_its_end
from dragon.engine.files.file_jobs import FileJobs
from dragon.engine.files.file_urls import FileUrl
from dragon.engine.files.outputs import Outputs
from dragon.schemas import SIGNED
from dragon.settings import Settings
from dragon.store.clock import iso
from dragon.store.store import Store
from dragon.store.stored import PAGE, Entry, StoredIndex

DAY_SECONDS = 86_400
ENTRY_BYTES = 300
"""That one takes in an answer, at most."""


class ListedFile(Struct, frozen=True, kw_only=True):
    """A file, by its path below the directory that was asked for."""

    name: str
    size: int
    last_modified: str


class Listing(Struct, frozen=True, kw_only=True):
    """What lies in a directory; with `next` there is more, after what has that name."""

    files: list[ListedFile]
    directories: list[str]
    usage: int
    next: str | UnsetType = UNSET


class Selection(Struct, frozen=True, kw_only=True):
    """Files of a path, or below it; stored from `first_us` to `last_us`; named by `urls`.

    What is None does not narrow it.
    """

    path: str = ""
    urls: tuple[FileUrl, ...] | None = None
    first_us: int | None = None
    last_us: int | None = None

    def has(self, entry: Entry) -> bool:
        return (
            (entry.path == self.path or entry.path.startswith(_folder(self.path)))
            and (self.first_us is None or entry.stored_us >= self.first_us)
            and (self.last_us is None or entry.stored_us <= self.last_us)
        )


class Deletion(Struct, frozen=True, kw_only=True):
    """How many files were deleted, of how many bytes; and how many those that are left take."""

    deleted: int
    freed: int
    usage: int


class Expiration(Struct, frozen=True, kw_only=True):
    """How many days files are kept, 0 for ever; and what says so, the account or the settings."""

    days: float
    set_by: str


class StoredFiles:
    """The same wherever files lie. Every method raises Unavailable."""

    def __init__(self, settings: Settings, store: Store, outputs: Outputs, jobs: FileJobs) -> None:
        self._settings = settings
        self._index = StoredIndex(store)
        self._outputs = outputs
        self._jobs = jobs

    async def listing(
        self, account: str, path: str, after: str, limit: int, *, is_recursive: bool
    ) -> Listing:
        """What a directory holds, or the file of that path; from the name `after` on."""
        usage = await self._index.usage(account)
        if found := await self._find(account, path):
            name = path.rpartition("/")[2]
            return Listing(files=[_listed(name, one) for one in found], directories=[], usage=usage)
        folder, name = _folder(path), ""
        limit = min(limit, max(1, self._settings.max_answer_bytes // ENTRY_BYTES))
        files: list[ListedFile] = []
        directories: list[str] = []
        following: str | UnsetType = UNSET
        read = self._index.page if is_recursive else self._index.browse
        streams = [
            _entries(partial(read, account, shard, folder), folder, after, min(limit + 1, PAGE))
            for shard in self._index.shards_of(folder)
        ]
        async with aclosing(_merged(streams)) as entries:
            async for entry in entries:
                if len(files) + len(directories) == limit:
                    following = name
                    break
                name = entry.path.removeprefix(folder)
                if name.endswith("/"):
                    directories.append(name)
                else:
                    files.append(_listed(name, entry))
        return Listing(files=files, directories=directories, usage=usage, next=following)

    async def delete(self, account: str, selection: Selection, *, is_dry: bool) -> Deletion:
        """Delete files; or with `is_dry` just say what that would do.

        Some may have been deleted when this raises; it can be repeated.
        """
        deleted = freed = 0
        async with aclosing(self._candidates(account, selection)) as candidates:
            async for shard, entries in candidates:
                chosen = [entry for entry in entries if selection.has(entry)]
                count, size = len(chosen), sum(entry.size for entry in chosen)
                if chosen and not is_dry:
                    # A file that is gone must not stay in the index, nor answer who asks for it.
                    count, size = await to_its_end(self._delete(account, shard, chosen))
                deleted, freed = deleted + count, freed + size
        usage = await self._index.usage(account)
        return Deletion(deleted=deleted, freed=freed, usage=usage)

    async def now_us(self) -> int:
        """Not before any file that is stored by now: on the clock of those that stored them."""
        return await self._index.now_us()

    async def expiration(self, account: str) -> Expiration:
        days = await self._index.lifetime_days(account)
        if days is not None:
            return Expiration(days=days, set_by="account")
        whole, rest = divmod(self._settings.retention_seconds, DAY_SECONDS)
        return Expiration(days=whole + rest / DAY_SECONDS if rest else whole, set_by="settings")

    async def set_expiration(self, account: str, days: int) -> Expiration:
        """From now on, also for the files that are there."""
        await to_its_end(self._index.set_lifetime(account, days))
        return await self.expiration(account)

    async def _find(self, account: str, path: str) -> list[Entry]:
        """The file of this very path, if there is one."""
        return [one async for _, entries in self._find_all(account, [path]) for one in entries]

    async def _find_all(
        self, account: str, paths: Iterable[str]
    ) -> AsyncGenerator[tuple[int, list[Entry]], None]:
        shards = defaultdict(list)
        for path in paths:
            if path.count("/") == 3 and len(where := self._index.shards_of(path)) == 1:
                shards[where[0]].append(path)
        for shard, some in shards.items():
            for start in range(0, len(some), PAGE):
                yield shard, await self._index.find(account, shard, some[start : start + PAGE])

    async def _candidates(
        self, account: str, selection: Selection
    ) -> AsyncGenerator[tuple[int, list[Entry]], None]:
        """What may be meant, by shard."""
        paths: Sequence[str] = [selection.path]
        if selection.urls is not None:
            paths = await self._paths(account, selection.urls)
        async for found in self._find_all(account, paths):
            yield found
        if selection.urls is None:
            folder = _folder(selection.path)
            for shard in self._index.shards_of(folder):
                after = ""
                while page := await self._index.page(account, shard, folder, after, PAGE):
                    yield shard, page
                    after = page[-1].path.removeprefix(folder)

    async def _paths(self, account: str, urls: Sequence[FileUrl]) -> Sequence[str]:
        """Of the files that these URLs name, as far as they are the account's."""
        paths: dict[str, None] = {}
        for start in range(0, len(urls), PAGE):
            some = urls[start : start + PAGE]
            files = await self._index.files(account, list({url.key for url in some}))
            known = {
                (file.path.split("/")[2], file.filename): file.path
                for file in files
                if file.store != SIGNED
            }
            for url in some:
                path = known.get((url.key, url.filename))
                if path and url.path in ("", path):
                    paths[path.removeprefix(f"{account}/")] = None
        return list(paths)

    async def _delete(self, account: str, shard: int, entries: Iterable[Entry]) -> tuple[int, int]:
        """The files first: an entry without its file is better than one that nobody knows."""
        paths: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            paths[entry.path.split("/")[1]].append(entry.path)
        chosen = {f"{account}/{path}" for some in paths.values() for path in some}
        files = await self._index.files(account, list(paths))
        await self._outputs.delete_files(file for file in files if file.path in chosen)
        counts = await self._index.unstore(account, shard, paths)
        # Other servers are told; the next request to this one may come before it is.
        self._jobs.drop(paths.keys())
        return counts


_Stream = AsyncGenerator[Entry, None]


async def _entries(
    read: Callable[[str, int], Awaitable[list[Entry]]], folder: str, after: str, size: int
) -> _Stream:
    """All that lies in a directory in one shard, read in pages."""
    while page := await read(after, size):
        for entry in page:
            yield entry
        after = page[-1].path.removeprefix(folder)


async def _merged(streams: Sequence[_Stream]) -> _Stream:
    """Entries of sorted streams, in order; a directory that several have, once."""
    async with AsyncExitStack() as stack:
        heads = []
        for place, stream in enumerate(streams):
            await stack.enter_async_context(aclosing(stream))
            if head := await anext(stream, None):
                heads.append((head, place))
        heapq.heapify(heads)
        last = None
        while heads:
            head, place = heads[0]
            if head.path != last:
                yield head
            last = head.path
            if following := await anext(streams[place], None):
                heapq.heapreplace(heads, (following, place))
            else:
                heapq.heappop(heads)


def _listed(name: str, entry: Entry) -> ListedFile:
    return ListedFile(name=name, size=entry.size, last_modified=iso(entry.stored_us / 1e6))


def _folder(path: str) -> str:
    return path if path.endswith("/") or not path else path + "/"
