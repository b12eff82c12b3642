"""Puts the file of a task where its client said: at a URL that the client's store has signed."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import BinaryIO

import aiohttp
from yarl import URL

from dragon.engine.network.addresses import AddressRules
from dragon.engine.network.failures import explain_failure, refusal
from dragon.engine.network.guard import UNSENT_BYTES, guarded_session
from dragon.engine.network.pace import Pace
from dragon.engine.network.urls import parse_url
from dragon.errors import TaskError, TaskFailed, TaskInterrupted
from dragon.schemas import LINKING_TYPES, SIGNED, Job, OutputFile
from dragon.settings import Settings
from dragon.task import File

MAX_BYTES = 5 * 1024**3
"""What S3 takes in one PUT."""
TRIES = 4
PAUSE_SECONDS = 0.5
_DONE = frozenset({200, 201, 202, 204})


class SignedUploads:
    """One PUT to an allowed address, tried again where that may help; no redirect is followed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._addresses = AddressRules.parse(settings.fetch_allow, settings.fetch_ports)

    async def keep(self, job: Job, files: Sequence[File]) -> tuple[OutputFile, ...]:
        """Upload the one file that there may be; raises TaskFailed or TaskInterrupted."""
        if len(files) > 1:
            words = f"the task made {len(files)}"
            raise TaskFailed(f"task_store s3_signed has room for one file, and {words}")
        return tuple([await self._keep(job, file) for file in files])

    async def _keep(self, job: Job, file: File) -> OutputFile:
        size = file.path.stat().st_size
        try:
            if file.content_type in LINKING_TYPES:
                raise TaskFailed("it names other files, which would not be found from there")
            if size > MAX_BYTES:
                raise TaskFailed(f"it is larger than {MAX_BYTES} bytes")
            url = parse_url(job.store_url)
            await self._put_patiently(url, file, size)
        except TaskError as error:
            words = f"'{file.name}' could not be put at the URL of task_store: {error.message}"
            raise type(error)(words) from None
        return OutputFile(
            name=file.name,
            filename=file.filename,
            content_type=file.content_type,
            path=str(url.with_query(None).with_fragment(None)),
            size=size,
            store=SIGNED,
        )

    async def _put_patiently(self, url: URL, file: File, size: int) -> None:
        async with guarded_session(self._addresses) as session:
            for number in range(TRIES - 1):
                with suppress(TaskInterrupted):
                    await self._put(session, url, file, size)
                    return
                pause_seconds = PAUSE_SECONDS * 2**number
                await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311
            await self._put(session, url, file, size)

    async def _put(self, session: aiohttp.ClientSession, url: URL, file: File, size: int) -> None:
        headers = {"Content-Type": file.content_type, "Content-Length": str(size)}
        patience = asyncio.timeout(self._settings.fetch_timeout_seconds)
        try:
            with await asyncio.to_thread(file.path.open, "rb") as opened:
                async with (
                    asyncio.timeout(self._settings.fetch_media_timeout_seconds),
                    patience,
                    session.put(
                        url,
                        data=self._portions(opened, patience),
                        headers=headers,
                        allow_redirects=False,
                    ) as response,
                ):
                    status = response.status
        except aiohttp.ClientError as error:
            failure = explain_failure(error)
        except TimeoutError:
            failure = TaskFailed(self._too_slow(is_stuck=patience.expired()))
        else:
            if status in _DONE:
                return
            failure = refusal(status)
        # Raised out here, so that no cause goes with it: causes hold resolved addresses.
        raise failure

    async def _portions(self, opened: BinaryIO, patience: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The file, as fast as it is taken; then `patience` waits for the answer."""
        settings = self._settings
        rate = settings.fetch_min_bytes_per_second
        pace = Pace(patience, rate, settings.fetch_media_timeout_seconds, UNSENT_BYTES)
        while data := await asyncio.to_thread(opened.read, UNSENT_BYTES):
            yield data
            pace.passed(len(data))
        pace.wait(settings.fetch_timeout_seconds)

    def _too_slow(self, *, is_stuck: bool) -> str:
        settings = self._settings
        if not is_stuck:
            words = f"it took longer than {settings.fetch_media_timeout_seconds:g} seconds"
            return f"{words} (setting fetch_media_timeout_seconds)"
        return (
            f"the server took less than {settings.fetch_min_bytes_per_second} bytes per second, or "
            f"gave no answer for {settings.fetch_timeout_seconds:g} seconds "
            "(settings fetch_min_bytes_per_second and fetch_timeout_seconds)"
        )
