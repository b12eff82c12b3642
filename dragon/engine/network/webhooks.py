"""Sends web hooks: one POST of a job's final status, signed, to where its account wants it."""

import asyncio
import random
import traceback
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Self

import aiohttp
import msgspec
import structlog
from msgspec import Struct
from multidict import CIMultiDictProxy
from yarl import URL

from dragon.engine.network.addresses import AddressRules
from dragon.engine.network.failures import explain_failure
from dragon.engine.network.guard import AddressRefused, guarded_session
from dragon.engine.network.urls import parse_url
from dragon.errors import TaskFailed
from dragon.schemas import HookParams, Job, State
from dragon.settings import Settings
from dragon.store.clock import StoreClock
from dragon.store.keys import Keys
from dragon.store.submission import Hook
from dragon.webhook_signatures import sign

log = structlog.get_logger()

MAX_RETRY_AFTER_SECONDS = 86_400.0
_JITTER = 0.1
_PHRASES = {status.value: f" {status.phrase}" for status in HTTPStatus}


def hook_of(
    settings: Settings, keys: Keys, job: Job, callback: str | None, errback: str | None
) -> Hook | None:
    """Where the end of a job is told; None if nobody wants to know."""
    wanted: dict[State, str | None] = {"success": callback, "error": errback}
    urls = {state: url for state, url in wanted.items() if url}
    if not urls:
        return None
    return Hook(
        key=keys.hook_key(job.key),
        urls=urls,
        attempts=len(settings.webhook_retry_seconds),
        pause_seconds=jittered(settings.webhook_retry_seconds[0]),
        retention_seconds=settings.webhook_retention_seconds,
        connections=settings.webhook_connections,
        whole_connections=settings.webhook_account_connections,
    )


def jittered(seconds: float) -> float:
    """Up to a tenth more or less, so that what failed together does not come back together."""
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311


class Answer(Struct, frozen=True, kw_only=True):
    """What came of one request.

    `is_over`: there is no use in asking again. `wait_seconds`: the receiver asks not to come back
    before.
    """

    status: int | None = None
    error: str = ""
    is_over: bool = False
    wait_seconds: float = 0.0


class WebHooks:
    """Any number at once, each on a connection of its own: one kept open may be dead unseen."""

    _session: aiohttp.ClientSession

    def __init__(self, settings: Settings, clock: StoreClock) -> None:
        self._addresses = AddressRules.parse(settings.fetch_allow, settings.fetch_ports)
        self._timeout_seconds = settings.webhook_timeout_seconds
        self._secrets = {account.name: account.webhook_secrets for account in settings.accounts}
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._session = guarded_session(self._addresses)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, job: Job, body: bytes) -> Answer:
        """Make one request. The words of the answer name no address."""
        params = msgspec.json.decode(job.params, type=HookParams)
        try:
            url = parse_url(params.url)
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(url, self._headers(job, body), body)
        except TaskFailed as error:
            return Answer(error=error.message, is_over=True)
        except aiohttp.ClientError as error:
            return Answer(error=explain_failure(error).message, is_over=_is_refused(error))
        except TimeoutError:
            seconds = f"{self._timeout_seconds:g} seconds"
            words = f"there was no answer within {seconds} (setting webhook_timeout_seconds)"
            return Answer(error=words)
        except Exception as error:
            # Its words may quote the address, which may hold a secret.
            stack = "".join(traceback.format_tb(error.__traceback__))
            name = type(error).__name__
            log.error("webhook_bug", key=job.key, error=name, stack=stack)  # noqa: TRY400
            return Answer(error="an internal error")

    async def _post(self, url: URL, headers: dict[str, str], body: bytes) -> Answer:
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as response:
            # What it says besides is not read, however much that is.
            response.close()
            return _judge(response.status, response.headers, self._clock.now())

    def _headers(self, job: Job, body: bytes) -> dict[str, str]:
        now = int(self._clock.now())
        headers = {
            "Connection": "close",
            "Content-Type": "application/json",
            "webhook-id": job.key,
            "webhook-timestamp": str(now),
        }
        if secrets := self._secrets.get(job.account):
            headers["webhook-signature"] = sign(secrets, job.key, now, body)
        return headers


def _judge(status: int, headers: CIMultiDictProxy[str], now: float) -> Answer:
    if 200 <= status <= 299:
        return Answer(status=status)
    words = f"the receiver answered {status}{_PHRASES.get(status, '')}"
    if 300 <= status <= 399:
        words += ", and redirects are not followed"
    wait_seconds = min(_seconds(headers.get("Retry-After", ""), now), MAX_RETRY_AFTER_SECONDS)
    return Answer(
        status=status,
        error=words,
        is_over=status == HTTPStatus.GONE,
        # No sooner than it asks, and what it asks that of not all at once either.
        wait_seconds=wait_seconds * random.uniform(1, 1 + _JITTER),  # noqa: S311
    )


def _seconds(after: str, now: float) -> float:
    """What `Retry-After` says, as a number of seconds or as a date; 0 where it makes no sense."""
    if after.isascii() and after.isdigit():
        return float(after[:9])
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(after)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    return 0.0


def _is_refused(error: aiohttp.ClientError) -> bool:
    """Whether the address itself is at fault, which no time mends."""
    return isinstance(error, aiohttp.InvalidURL) or (
        isinstance(error, aiohttp.ClientConnectorError)
        and isinstance(error.os_error, AddressRefused)
    )
