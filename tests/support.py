"""What tests use: a real Dragon as processes, a real Valkey, and ways to wait with a deadline."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import psutil

from dragon.settings import Settings
from dragon.store.embedded import EmbeddedValkey

ROOT = Path(__file__).parent.parent
MEDIA = ROOT / "tests" / "media"
DEADLINE_SECONDS = 60.0
"""Far more than anything takes: the machine may be slow, and busy with other tests."""
START_SECONDS = 300.0
"""Of a process: it imports a lot, and a dozen others may do so at the same time."""

SECRET = "acme-secret"
KEEPER = "keeper-secret"
API_KEY = "acme-api-key"
WEBHOOK_SECRETS = (
    "whsec_b2xkIHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
    "whsec_bmV3IHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
)
WEBHOOK_TRIES = 4
PAGE = "https://example.com/page.html"

CONFIG = """
task_packages = ["tasks", "tests.site_tasks"]
fetch_allow = ["127.0.0.1"]
lease_seconds = 2.0
retry_base_seconds = 0.1
drain_seconds = 1.0
webhook_retry_seconds = [0.0, 0.1, 0.1, 0.1]
webhook_timeout_seconds = 3.0
wait_seconds = 0.5

[[accounts]]
name = "acme"
secrets = ["acme-secret"]
webhook_secrets = [
    "whsec_b2xkIHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
    "whsec_bmV3IHNlY3JldCBvZiB0aGUgYWNtZSBhY2NvdW50",
]
[[accounts.api_keys]]
key = "acme-api-key"
referrers = ["example.com", "*.example.org"]

[[accounts]]
name = "other"
secrets = ["other-secret", "other-older-secret"]

[[accounts]]
name = "keeper"
secrets = ["keeper-secret"]
[[accounts.api_keys]]
key = "keeper-api-key"
referrers = ["example.com"]

[[accounts]]
name = "any"
secrets = ["any-secret"]

[[accounts]]
name = "emptied"
secrets = ["emptied-secret"]

[[accounts]]
name = "few"
secrets = ["few-secret"]
limits = { queued = 5 }

[[accounts]]
name = "one"
secrets = ["one-secret"]
limits = { running = 1 }

[[accounts]]
name = "slow"
secrets = ["slow-secret"]
limits = { per_minute = 5 }

[[accounts]]
name = "family"
secrets = ["family-secret"]
limits = { per_minute = 5 }
"""

T = TypeVar("T")


class Dragon:
    """`dragon run` as a child process: a context manager that leaves no process behind."""

    def __init__(
        self, data: Path, *arguments: str, config: str | None = CONFIG, **environment: str
    ) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self._command = [
            sys.executable, "-m", "dragon", "run", "--port", "0", "--data", str(data), *arguments
        ]  # fmt: skip
        if config is not None:
            (data / "dragon.toml").write_text(config)
            self._command += ["--config", str(data / "dragon.toml")]
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self.output: list[str] = []
        self.url = ""

    def __enter__(self) -> Self:
        self._log = (self.data / "dragon.log").open("ab")
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self.data,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(
            lambda: "Ctrl-C ends it." in self.output or self.process.poll() is not None,
            START_SECONDS,
        )
        assert self.process.poll() is None, self.log()
        self.url = self.output[0].split()[-1]
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.family()
            # A test that failed may have left it standing still.
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(DEADLINE_SECONDS)
            finally:
                for process in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
        self._reader.join(DEADLINE_SECONDS)
        self._log.close()
        assert self.process.stdout
        self.process.stdout.close()

    def settings(self) -> Settings:
        """How a test reaches the Valkey of this Dragon."""
        return Settings(redis=EmbeddedValkey(self.data).url, data=str(self.data))

    def log(self) -> str:
        """All that the processes logged: JSON lines."""
        return (self.data / "dragon.log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The logged events of one name."""
        return [event for event in _logged(self.log(), name) if event.get("event") == name]

    def family(self) -> list[psutil.Process]:
        """The supervisor and all below it."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def find(self, *words: str) -> list[psutil.Process]:
        """Living processes of the family whose command line has all these words."""
        found = []
        for process in self.family():
            # Any may end meanwhile.
            with contextlib.suppress(psutil.NoSuchProcess):
                if is_alive(process) and set(words) <= set(process.cmdline()):
                    found.append(process)
        return found

    def worker(self) -> psutil.Process:
        return wait_for(lambda: next(iter(self.find("dragon", "worker")), None))

    def server(self) -> psutil.Process:
        return wait_for(lambda: next(iter(self.find("dragon", "serve")), None))

    def valkey(self) -> psutil.Process:
        return wait_for(lambda: next(iter(self._named("valkey")), None))

    def decoders(self) -> list[psutil.Process]:
        return self.worker().children()

    def _named(self, name: str) -> list[psutil.Process]:
        found = []
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name().startswith(name):
                    found.append(process)
        return found

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))


def _logged(log: str, word: str) -> Iterator[Any]:
    """The events of a log that have this word somewhere.

    To decode only these matters where a test looks again and again at the log of many tests.
    """
    lines = [line for line in log.splitlines() if word in line and line.startswith("{")]
    return map(json.loads, lines)


def is_alive(process: psutil.Process) -> bool:
    """A zombie is not alive."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Part:
    """`dragon serve` or `dragon worker` as a process of its own; a context manager."""

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        (data / "part.toml").write_text(CONFIG)
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        self._path = data / f"{arguments[0]}-{time.monotonic_ns()}.log"
        self._command = [sys.executable, "-m", "dragon", *arguments]
        self._command += ["--data", str(data), "--config", str(data / "part.toml")]

    def __enter__(self) -> Self:
        with self._path.open("wb") as log:
            self.process = psutil.Popen(self._command, env=self._environment, stderr=log)
        try:
            wait_until(lambda: self.events("started") or self._has_ended(), START_SECONDS)
            assert not self._has_ended(), self._path.read_text()
        except BaseException:
            self.process.kill()
            self.process.wait(DEADLINE_SECONDS)
            raise
        for started in self.events("server_started"):
            self._url = f"http://{started['host']}:{started['port']}"
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.resume()
            self.process.terminate()
        try:
            self.process.wait(DEADLINE_SECONDS)
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.process.kill()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The logged events whose name ends so."""
        events = _logged(self._path.read_text(), name)
        return [event for event in events if event["event"].endswith(name)]

    def url(self) -> str:
        """Where a server listens."""
        return self._url

    def _has_ended(self) -> bool:
        return not is_alive(self.process)


def wait_until(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """Return as soon as the condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.01)


def wait_for(find: Callable[[], T | None], seconds: float = DEADLINE_SECONDS) -> T:
    """The first value that is not None; fails at the deadline."""
    found: list[T] = []

    def look() -> bool:
        value = find()
        if value is not None:
            found.append(value)
        return bool(found)

    wait_until(look, seconds)
    return found[0]


async def eventually(condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
    """The same without holding up the loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        await asyncio.sleep(0.01)


async def send_raw(url: str, data: bytes) -> bytes:
    """What a server answers to these very bytes, until it closes; empty if it just closes."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def read_lines(response: aiohttp.ClientResponse) -> list[Any]:
    """All that is left of a stream, line by line."""
    return [json.loads(line) async for line in response.content]


async def until(ask: Callable[[], Awaitable[T]], seconds: float = DEADLINE_SECONDS) -> T:
    """The first answer that is true; fails at the deadline."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):
            await asyncio.sleep(0.01)
        return answer
