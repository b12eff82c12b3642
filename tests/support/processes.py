"""A real Dragon as processes, whole or in parts."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import psutil

from dragon.settings import Settings
from dragon.store.embedded import EmbeddedValkey
from tests.support.accounts import CONFIG
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE_SECONDS, _logged, wait_for, wait_until

START_SECONDS = 300.0
"""Of a process: it imports a lot, and a dozen others may do so at the same time."""

PATIENCE = {"DRAGON_REDIS_TIMEOUT_SECONDS": "30", "DRAGON_WEBHOOK_TIMEOUT_SECONDS": "60"}
"""Where Valkey and receivers of web hooks live, none is given up because the machine held it up."""


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
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **PATIENCE, **environment}
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
        return Settings(
            redis=EmbeddedValkey(self.data).url,
            data=str(self.data),
            redis_timeout_seconds=DEADLINE_SECONDS,
        )

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
