"""`dragon run`: everything on one machine, with credentials to try it."""

import asyncio
import fcntl
import http.client
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from msgspec import Struct

from dragon.errors import DragonError, InvalidSettings
from dragon.process import Process
from dragon.settings import Account, ApiKey, Settings
from dragon.store.embedded import EmbeddedValkey

START_SECONDS = 60.0


class Demo(Struct, frozen=True, kw_only=True):
    """The credentials of the account that is there without any configured."""

    secret: str
    api_key: str


class Running(Struct, frozen=True, kw_only=True):
    """Where a running Dragon answers, kept for the command line's other commands."""

    url: str
    secret: str = ""


async def supervise(
    settings: Settings, config: str | None, host: str, port: int, tell: Callable[[str], None]
) -> None:
    """Run everything until SIGINT or SIGTERM; `tell` gets what a person should read.

    Raises InvalidSettings if the address or the data directory is taken.
    """
    data = Path(settings.data)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    lock = _lock(data)
    listener = listen(host, port)
    url = _url(listener)
    demo = None if settings.accounts else _demo(data)
    running = data / "running.json"
    async with AsyncExitStack() as stack:
        stack.callback(os.close, lock)
        stack.callback(listener.close)
        redis = settings.redis
        if not redis:
            valkey = EmbeddedValkey(data)
            stack.callback(valkey.close)
            redis = valkey.url
            await stack.enter_async_context(Process("valkey", valkey.command(), dict(os.environ)))
        environment = _environment(settings, config, redis, demo, url)
        parts = _parts(environment, listener, stopped.set)
        for part in parts:
            await stack.enter_async_context(part)
        await _until(stopped, _wait_until_ready(url))
        if not stopped.is_set():
            _write_private(running, Running(url=url, secret=demo.secret if demo else ""))
            stack.callback(running.unlink, missing_ok=True)
            tell(_banner(url, demo))
        await stopped.wait()
        # Both drain at once: streams of the server end as the worker ends their jobs.
        await asyncio.gather(*(part.stop(settings.drain_seconds + 3) for part in parts))
    if any(part.is_refused for part in parts):
        raise InvalidSettings("it was not started, for the reason above")


def read_running(data: str) -> Running | None:
    """Where the Dragon that uses this data directory answers, if it runs."""
    try:
        return msgspec.json.decode((Path(data) / "running.json").read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises InvalidSettings if the address is taken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        words = (error.strerror or str(error)).partition(" (while")[0]
        raise InvalidSettings(f"cannot listen on {host} port {port}: {words}") from None


def _parts(
    environment: dict[str, str], listener: socket.socket, on_refused: Callable[[], None]
) -> list[Process]:
    dragon = [sys.executable, "-m", "dragon"]
    return [
        Process(
            "server",
            [*dragon, "serve", "--fd", str(listener.fileno())],
            environment,
            listener.fileno(),
            on_refused=on_refused,
        ),
        Process("worker", [*dragon, "worker"], environment, on_refused=on_refused),
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
        account = Account(
            name="demo",
            secrets=(demo.secret,),
            api_keys=(ApiKey(key=demo.api_key, referrers=("localhost", "127.0.0.1")),),
        )
        environment["DRAGON_ACCOUNTS"] = msgspec.json.encode([account]).decode()
        # The sample photograph is fetched from this very server.
        allowed = [*settings.fetch_allow, url.removeprefix("http://")]
        environment["DRAGON_FETCH_ALLOW"] = msgspec.json.encode(allowed).decode()
    return environment


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


def _url(listener: socket.socket) -> str:
    """The address for clients on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _demo(data: Path) -> Demo:
    """The same credentials at every start."""
    path = data / "demo.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Demo)
    demo = Demo(secret=secrets.token_urlsafe(24), api_key=secrets.token_urlsafe(16))
    _write_private(path, demo)
    return demo


def _write_private(path: Path, content: Struct) -> None:
    """Whole or not at all, and at no moment readable by others."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(content))
    draft.rename(path)


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
    except OSError as error:
        return False, str(error).encode()
    finally:
        connection.close()


def _banner(url: str, demo: Demo | None) -> str:
    lines = [f"Dragon listens on {url}"]
    if demo:
        lines += [
            f"  secret   {demo.secret}",
            f"  api key  {demo.api_key}  (for pages on localhost and 127.0.0.1)",
        ]
    secret = demo.secret if demo else "YOUR-SECRET"
    return "\n".join(
        [
            *lines,
            "Make a thumbnail:",
            f"  curl -sSfL -o thumb.jpg -H 'Authorization: Secret {secret}' "
            f"'{url}/v1/create_file/thumb.jpg?task_name=image.thumb&width=200"
            f"&url={url}/static/sample.jpg'",
            "Ctrl-C ends it.",
        ]
    )
