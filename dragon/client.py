"""The API from the command line: create and status, with a progress bar."""

import http.client
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import click
from rich.console import Console
from rich.progress import Progress

from dragon.errors import DragonError, InvalidSettings
from dragon.supervisor import read_running


class Client:
    """Talks to one server; prints statuses as JSON lines and exits with 1 if a task failed."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = urlsplit(url)
        self._secret = secret

    @classmethod
    def find(cls, url: str | None, secret: str | None, data: str) -> Self:
        """The server at `url`, or the one that runs here with this data directory."""
        running = read_running(data)
        if url is None and running is None:
            raise InvalidSettings("which server? none runs here; give --url or DRAGON_URL")
        return cls(
            url or (running.url if running else ""),
            secret or (running.secret if running else ""),
        )

    def create(self, definition: dict[str, Any], mode: str) -> None:
        body = {"tasks": [definition]}
        if mode == "now":
            statuses = self._lines("POST", "/v1/create", body)
            _end([status for line in statuses for status in line])
        statuses = self._updates(self._lines("POST", "/v1/create_stream", body))
        last = _print_all(statuses) if mode == "stream" else _show_progress(statuses)
        _end([last] if last and mode != "stream" else [], is_failed=_is_failed(last))

    def status(self, keys: Sequence[str]) -> None:
        query = urlencode([("tasks", key) for key in keys])
        _end([status for line in self._lines("GET", f"/v1/status?{query}") for status in line])

    def _updates(self, lines: Iterator[Any]) -> Iterator[dict[str, Any]]:
        """The first line is a list; each of the others is one status."""
        for line in lines:
            yield from line if isinstance(line, list) else [line]

    def _lines(self, method: str, path: str, body: Any = None) -> Iterator[Any]:
        connect = (
            http.client.HTTPSConnection
            if self._url.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = connect(self._url.netloc)
        try:
            headers = {"Authorization": f"Secret {self._secret}"} if self._secret else {}
            connection.request(
                method, self._url.path + path, json.dumps(body) if body else None, headers
            )
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise DragonError(f"the server answered {answer.status}: {answer.read().decode()}")
            for line in answer:
                yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise DragonError(f"cannot reach {self._url.geturl()}: {error}") from None
        finally:
            connection.close()


def _print_all(statuses: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    last = None
    for last in statuses:
        click.echo(json.dumps(last))
    return last


def _show_progress(statuses: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """A bar on standard error: it moves with numeric progress, and pulses otherwise."""
    last = None
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("queued", total=None)
        for last in statuses:
            done = last.get("progress")
            total = 100 if isinstance(done, int | float) else None
            progress.update(bar, description=last["status"], completed=done or 0, total=total)
    return last


def _is_failed(status: dict[str, Any] | None) -> bool:
    return status is None or status.get("status") != "success"


def _end(statuses: list[dict[str, Any]], *, is_failed: bool | None = None) -> None:
    for status in statuses:
        click.echo(json.dumps(status, indent=2 if sys.stdout.isatty() else None))
    if is_failed is None:
        is_failed = any(status.get("status") == "error" for status in statuses)
    sys.exit(1 if is_failed else 0)
