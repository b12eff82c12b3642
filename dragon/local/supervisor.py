"""`dragon run`: everything on one machine, with credentials to try it."""

import asyncio
import fcntl
import http.client
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

from dragon.background import stop_signal
from dragon.errors import DragonError, InvalidSettings
from dragon.local.demo import Demo, keep_demo
from dragon.local.listening import listen_together, local_url
from dragon.local.process import Process
from dragon.local.running import Running, told_as_running
from dragon.settings import Settings
from dragon.store.embedded import EmbeddedValkey

START_SECONDS = 300.0
"""Whose settings are wrong is told at once: this is for a machine that is slow and busy."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What to run, and on which address; port 0 is any that is free."""

    host: str
    port: int
    servers: int = 1
    workers: int = 1


async def supervise(
    settings: Settings, config: str | None, wanted: Wanted, tell: Callable[[str], None]
) -> None:
    """Run everything until SIGINT or SIGTERM; `tell` gets what a person should read.

    Raises InvalidSettings if the address or the data directory is taken.
    """
    data = Path(settings.data)
    stopped = stop_signal()
    async with AsyncExitStack() as stack:
        stack.callback(os.close, _lock(data))
        listeners = stack.enter_context(listen_together(wanted.host, wanted.port, wanted.servers))
        url = local_url(listeners[0])
        demo = None if settings.accounts else keep_demo(data)
        redis = settings.redis or await _start_valkey(stack, data)
        environment = _environment(settings, config, redis, demo, url)
        parts = _parts(environment, listeners, wanted.workers, stopped.set)
        for part in parts:
            await stack.enter_async_context(part)
        await _until(stopped, _wait_until_ready(url))
        if not stopped.is_set():
            running = Running(url=url, secret=demo.secret if demo else "")
            stack.enter_context(told_as_running(data, running))
            tell(_banner(url, demo))
        await stopped.wait()
        # All drain at once: streams of the servers end as the workers end their jobs.
        await asyncio.gather(*(part.stop(_stop_seconds(settings)) for part in parts))
    if any(part.is_refused for part in parts):
        raise InvalidSettings("it was not started, for the reason above")


def _lock(data: Path) -> int:
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        words = f"cannot use the data directory {data}: {error.strerror}"
        raise InvalidSettings(words) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidSettings(f"another `dragon run` uses the data directory {data}") from None
    return lock


async def _start_valkey(stack: AsyncExitStack, data: Path) -> str:
    valkey = EmbeddedValkey(data)
    stack.callback(valkey.close)
    await stack.enter_async_context(Process("valkey", valkey.command(), dict(os.environ)))
    return valkey.url


def _parts(
    environment: dict[str, str],
    listeners: Sequence[socket.socket],
    workers: int,
    on_refused: Callable[[], None],
) -> list[Process]:
    dragon = [sys.executable, "-m", "dragon"]
    return [
        *(
            Process(
                f"server-{number}",
                [*dragon, "serve", "--fd", str(listener.fileno())],
                environment,
                listener=listener,
                on_refused=on_refused,
            )
            for number, listener in enumerate(listeners, 1)
        ),
        *(
            Process(f"worker-{number}", [*dragon, "worker"], environment, on_refused=on_refused)
            for number in range(1, workers + 1)
        ),
    ]


def _environment(
    settings: Settings, config: str | None, redis: str, demo: Demo | None, url: str
) -> dict[str, str]:
    """How the parts get their settings: not on command lines, which anybody may read."""
    environment = dict(os.environ)
    if config:
        environment["DRAGON_CONFIG"] = config
    environment["DRAGON_DATA"] = settings.data
    environment["DRAGON_REDIS"] = redis
    if demo:
        environment["DRAGON_ACCOUNTS"] = msgspec.json.encode([demo.account()]).decode()
        # The sample photograph is fetched from this very server.
        allowed = [*settings.fetch_allow, url.removeprefix("http://")]
        environment["DRAGON_FETCH_ALLOW"] = msgspec.json.encode(allowed).decode()
    return environment


async def _until(stopped: asyncio.Event, other: Awaitable[None]) -> None:
    """Wait for one or the other; errors of the other are raised."""
    tasks = [asyncio.ensure_future(stopped.wait()), asyncio.ensure_future(other)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def _wait_until_ready(url: str) -> None:
    problems = b""
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        is_ready, problems = await asyncio.to_thread(_is_ready, url)
        if is_ready:
            return
        await asyncio.sleep(0.05)
    raise DragonError(f"Dragon did not get ready in {START_SECONDS:g} s: {problems.decode()}")


def _is_ready(url: str) -> tuple[bool, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        return answer.status == 200, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return False, str(error).encode()
    finally:
        connection.close()


def _banner(url: str, demo: Demo | None) -> str:
    lines = [f"Dragon listens on {url}", *(_try_demo(url, demo) if demo else _try_account(url))]
    return "\n".join([*lines, "Ctrl-C ends it."])


def _try_demo(url: str, demo: Demo) -> list[str]:
    return [
        f"  secret   {demo.secret}",
        f"  api key  {demo.api_key}  (for pages on localhost and 127.0.0.1)",
        "Make a thumbnail:",
        f"  curl -sSfL -o thumb.jpg -H 'Authorization: Secret {demo.secret}' "
        f"'{url}/v2/create_file/thumb.jpg?task_name=image.thumb&width=200"
        f"&url={url}/static/sample.jpg'",
    ]


def _try_account(url: str) -> list[str]:
    """No thumbnail: the sample lies on this machine, which `fetch_allow` need not allow."""
    body = '{"tasks": {"task_name": "hello", "name": "John"}, "block": true}'
    return [
        "Try it with a secret of one of the accounts:",
        f"  curl -sS -H 'Authorization: Secret YOUR-SECRET' '{url}/v2/create' -d '{body}'",
    ]


def _stop_seconds(settings: Settings) -> float:
    """What a worker may need: it waits for Valkey's answer to a claim under way, lets jobs end,
    and waits for Valkey again as it hands back the rest. A server needs less."""
    return settings.drain_seconds + 2 * settings.redis_timeout_seconds
