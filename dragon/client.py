"""The API from the command line: create and status, with a progress bar, and signed URLs."""

import http.client
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, urlencode

import click
from rich.console import Console
from rich.progress import Progress

from dragon.errors import DragonError, InvalidSettings
from dragon.local.running import read_running
from dragon.signing import sign_url
from dragon.urls import split_server_url

ANSWER_SECONDS = 10.0
"""For each part of an answer that need not wait for a task."""


class Client:
    """Talks to one server; prints statuses as JSON lines and exits with 1 if a task failed."""

    def __init__(self, url: str, secret: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._url = _parse_url(url)
        self._secret = secret
        self._answer_seconds = answer_seconds

    @classmethod
    def find(cls, url: str | None, secret: str | None, data: str) -> Self:
        """The server at `url`, or the one that runs here with this data directory."""
        if url:
            return cls(url, secret or "")
        running = read_running(Path(data))
        if running is None:
            raise InvalidSettings(
                f"which server? none runs with the data directory {data}; "
                "give --data, or --url or DRAGON_URL"
            )
        return cls(running.url, secret or running.secret)

    def create(self, definition: dict[str, Any], mode: str) -> None:
        body = {"tasks": [definition]}
        if mode == "now":
            statuses = self._lines("POST", "/v2/create", body)
            _end([status for line in statuses for status in line])
        statuses = self._updates(self._lines("POST", "/v2/create_stream", body, waits=True))
        last = _print_all(statuses) if mode == "stream" else _show_progress(statuses)
        _end([last] if last and mode != "stream" else [], is_failed=_is_failed(last))

    def status(self, keys: Sequence[str]) -> None:
        query = urlencode([("tasks", key) for key in keys])
        _end([status for line in self._lines("GET", f"/v2/status?{query}") for status in line])

    def sign(
        self,
        parameters: Sequence[tuple[str, str]],
        filename: str,
        account: str,
        seconds: float,
        round_seconds: int,
    ) -> str:
        """A signed URL of GET create_file. Raises DragonError."""
        if not self._secret:
            raise InvalidSettings("which secret? give DRAGON_SECRET, and --account")
        path = "/v2/create_file" + (f"/{quote(filename, safe='')}" if filename else "")
        url = f"{self._url.geturl().rstrip('/')}{path}?{urlencode(parameters)}"
        try:
            return sign_url(
                url,
                account=account,
                secret=self._secret,
                seconds=seconds,
                round_seconds=round_seconds,
            )
        except ValueError as error:
            raise DragonError(str(error)) from None

    def _updates(self, lines: Iterator[Any]) -> Iterator[dict[str, Any]]:
        """The first line is a list; each of the others is one status."""
        for line in lines:
            yield from line if isinstance(line, list) else [line]

    def _lines(
        self, method: str, path: str, body: Any = None, *, waits: bool = False
    ) -> Iterator[Any]:
        """What each line of the answer says; one that waits may come as late as the task ends."""
        try:
            with closing(self._connect()) as connection:
                headers = {"Authorization": f"Secret {self._secret}"} if self._secret else {}
                text = json.dumps(body) if body else None
                if waits:
                    connection.sock.settimeout(None)
                connection.request(method, self._url.path.rstrip("/") + path, text, headers)
                answer = connection.getresponse()
                if answer.status != http.client.OK:
                    words = _refusal(answer.status, answer.read())
                    if answer.status == http.client.UNAUTHORIZED and not self._secret:
                        words += "; give a secret of the account as DRAGON_SECRET"
                    raise DragonError(words)
                for line in answer:
                    yield json.loads(line)
        except OSError as error:
            words = error.strerror or str(error)
            raise DragonError(f"cannot reach {self._url.geturl()}: {words}") from None
        except http.client.HTTPException:
            raise DragonError(f"the connection to {self._url.geturl()} broke") from None
        except json.JSONDecodeError:
            raise DragonError(f"{self._url.geturl()} does not answer in JSON") from None

    def _connect(self) -> http.client.HTTPConnection:
        is_secure = self._url.scheme == "https"
        connect = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
        connection = connect(self._url.netloc, timeout=self._answer_seconds)
        connection.connect()
        return connection


def _parse_url(text: str) -> SplitResult:
    url = split_server_url(text)
    if url is None:
        raise InvalidSettings(f"--url: {text!r} is not a URL such as http://127.0.0.1:8080")
    return url


def _refusal(status: int, body: bytes) -> str:
    """The words of an answer in one of the documented error forms."""
    try:
        answer = json.loads(body)
        problems = [problem["description"] for problem in answer.get("errors", ())]
        return "; ".join(problems) or answer["message"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return f"the server answered {status}, and not as Dragon does"


def _print_all(statuses: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    last = None
    for last in statuses:
        click.echo(json.dumps(last))
    return last


def _show_progress(statuses: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """A bar on standard error: it moves with progress in figures, and pulses otherwise."""
    last = None
    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("queued", total=None)
        for last in statuses:
            percent = _percent(last.get("progress"))
            total = None if percent is None else 100
            progress.update(bar, description=last["status"], completed=percent or 0, total=total)
    return last


def _percent(progress: Any) -> float | None:
    """What a task tells of how far it is: a percentage, or figures with a `fraction` of 1."""
    if isinstance(progress, dict):
        fraction = progress.get("fraction")
        return fraction * 100 if isinstance(fraction, int | float) else None
    return progress if isinstance(progress, int | float) else None


def _is_failed(status: dict[str, Any] | None) -> bool:
    return status is None or status.get("status") != "success"


def _end(statuses: list[dict[str, Any]], *, is_failed: bool | None = None) -> None:
    for status in statuses:
        click.echo(json.dumps(status, indent=2 if sys.stdout.isatty() else None))
    if is_failed is None:
        is_failed = any(status.get("status") == "error" for status in statuses)
    sys.exit(1 if is_failed else 0)
