"""Takes the parameters of the storage methods, which may stand in the query or in a JSON body."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from aiohttp import web

from dragon.engine.files.file_urls import FileUrl, split_file_url
from dragon.errors import BadRequest, Location, Problem
from dragon.http.requests.parameters import CREDENTIALS, MAX_TOLD
from dragon.params import parse_boolean

MAX_DAYS = 36_525
"""A hundred years: for ever, as the store has it."""

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class StorageParameters:
    """One request's. Each `take_…` notes what is wrong; `check` raises all of it.

    Names that the method does not know are refused in a query, too: one that is misspelt must not
    make a request delete more than was meant.
    """

    def __init__(self, request: web.Request, body: Mapping[str, Any]) -> None:
        self._request = request
        self._problems: list[Problem] = []
        self._known = list(CREDENTIALS)
        self._values: dict[str, tuple[Location, Any]] = {
            name: ("query", request.query.getall(name)) for name in request.query
        }
        for name, value in body.items():
            if name in self._values and name not in CREDENTIALS:
                self.note(name, f"{name[:100]} stands in the query and in the body", "body")
            self._values[name] = "body", value

    def note(self, name: str, description: str, location: Location | None = None) -> None:
        location = location or self._values[name][0]
        self._problems.append(Problem(name[:100], location, description))

    def check(self) -> None:
        """Raises BadRequest with every problem noted, unknown names among them."""
        known = ", ".join(self._known)
        unknown = (name for name in self._values if name not in self._known)
        for name in islice(unknown, MAX_TOLD):
            self.note(name, f"{name[:100]} is unknown, choose among: {known}")
        if self._problems:
            raise BadRequest(self._problems)

    def has_any(self, *names: str) -> bool:
        """Whether any of these is given, rightly or wrongly."""
        return any(name in self._values for name in names)

    def take_path(self) -> str:
        """Of a file or a directory, in the URL's own path; '' is the root."""
        path = self._request.match_info.get("path", "")
        if path and (words := _wrong_path(path.removesuffix("/"))):
            self.note("path", f"path {words}", "path")
        return path

    def take_after(self) -> str:
        """The name to go on after, '' to begin."""
        name = self._take("after", _text, "what `next` of another answer was")
        if name and (words := _wrong_path(name.removesuffix("/"))):
            self.note("after", f"after {words}")
        return name or ""

    def take_boolean(self, name: str) -> bool:
        """False where it is not given."""
        return self._take(name, _boolean, "true or false") or False

    def take_limit(self, most: int) -> int:
        """As many as may be asked for, where it is not given."""
        limit = self._take("limit", _number, f"a whole number from 1 to {most}")
        if limit is None:
            return most
        if limit % 1 or not 1 <= limit <= most:
            self.note("limit", f"limit must be a whole number from 1 to {most}")
            return most
        return int(limit)

    def take_days(self) -> int:
        right = f"a whole number from 0, for ever, to {MAX_DAYS}"
        days = self._take("days", _number, right)
        if "days" not in self._values:
            self.note("days", f"days is missing: {right}", "body")
        elif days is not None and (days % 1 or days > MAX_DAYS):
            self.note("days", f"days must be {right}")
        return int(days or 0)

    def take_max_age(self) -> float | None:
        """In seconds."""
        days = self._take("max_age", _number, f"a number of days from 0 to {MAX_DAYS}")
        if days is not None and days > MAX_DAYS:
            self.note("max_age", f"max_age must be a number of days from 0 to {MAX_DAYS}")
            return None
        return None if days is None else days * 86_400

    def take_moment(self, name: str) -> int | None:
        """In microseconds of Unix time."""
        right = "a date and time as in 2026-11-21T09:26:50+00:00 (in a URL a + is written %2B)"
        return self._take(name, _moment, right)

    def take_urls(self, most: int) -> tuple[FileUrl, ...] | None:
        """None where it is not given."""
        texts = self._take("urls", _texts, "the URL of a file or a list of them")
        if texts is None:
            return None
        if len(texts) > most:
            self.note("urls", f"more than {most} urls in one request (max_tasks_per_request)")
            return None
        urls = [split_file_url(text) for text in texts]
        wrong = (text for text, url in zip(texts, urls, strict=True) if not url)
        for text in islice(wrong, MAX_TOLD):
            self.note("urls", f"urls: {text[:200]!r} is not the URL of a file")
        return tuple(url for url in urls if url)

    def _take(self, name: str, read: Callable[[Any], T | None], right: str) -> T | None:
        """What is given of that name, read; None if nothing is, or it cannot be read."""
        self._known.append(name)
        if name not in self._values:
            return None
        location, value = self._values[name]
        if location == "query" and read is not _texts:
            value = _Text(value[0]) if len(value) == 1 else None
        read_value = read(value)
        if read_value is None:
            self.note(name, f"{name} must be {right}")
        return read_value


class _Text(str):
    """Of a query string, where everything is text."""


def _wrong_path(path: str) -> str:
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "must not have empty parts, `.` or `..`"
    return "" if path.isprintable() else "must not have control characters"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: Any) -> list[str] | None:
    values = [value] if isinstance(value, str) else value
    is_list = isinstance(values, list) and all(isinstance(one, str) for one in values)
    return values if is_list else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, _Text):
        value = parse_boolean(value)
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if isinstance(value, _Text):
        return float(value) if _NUMBER.fullmatch(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and value >= 0 else None


def _moment(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)
