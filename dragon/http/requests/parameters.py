"""Takes the parameters of the methods out of bodies and query strings, with all problems found."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta
from multidict import MultiMapping

from dragon.engine.definitions import Definition, NotADefinition, read_definition
from dragon.errors import BadRequest, Location, Problem
from dragon.http.streams.heartbeats import MAX_SECONDS
from dragon.params import parse_boolean
from dragon.registry import Registry
from dragon.schemas import Key
from dragon.settings import Settings
from dragon.task import RESERVED_NAMES

Keys = Annotated[list[Key], Meta(min_length=1)]

CREDENTIALS = ("secret", "api_key")

MAX_TOLD = 100
"""Problems of one sort: an answer need not name a million."""

READ_AT_ONCE = 50
"""Definitions, before others have their turn: ten thousand wrong ones take a second or more."""


class Parameters:
    """One request's parameters. Each `take_…` notes what is wrong; `check` raises all of it.

    Names that are not taken are wrong where `is_strict`.
    """

    def __init__(
        self, values: Mapping[str, Any], location: Location, *, is_strict: bool = True
    ) -> None:
        self._values = values
        self._location = location
        self._is_strict = is_strict
        self._problems: list[Problem] = []
        self._known = list(CREDENTIALS)

    @classmethod
    def of_query(cls, request: web.Request, *, is_strict: bool = False) -> "Parameters":
        return cls(_lists(request.query), "query", is_strict=is_strict)

    def note(self, name: str, description: str) -> None:
        self._problems.append(Problem(name, self._location, description))

    def check(self) -> None:
        """Raises BadRequest with every problem noted, unknown names among them."""
        known = ", ".join(self._known)
        unknown = (name for name in self._values if self._is_strict and name not in self._known)
        for name in islice(unknown, MAX_TOLD):
            self.note(name[:100], f"{name[:100]} is unknown, choose among: {known}")
        if self._problems:
            raise BadRequest(self._problems)

    def take_boolean(self, name: str) -> bool:
        """False where it is not given."""
        value = self._take(name)
        if value is None:
            return False
        if self._location == "query":
            [*_, text] = value
            value = parse_boolean(text)
        if not isinstance(value, bool):
            right = "true or false" if self._location == "body" else "true, false, 1, 0, yes or no"
            self.note(name, f"{name} must be {right}")
            return False
        return value

    def take_heartbeat(self, request: web.Request) -> int | None:
        """Seconds between two beats of a stream: in the query string, of a POST too."""
        text = request.query.get("heartbeat")
        if text is None:
            return None
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_SECONDS:
            return int(text)
        words = f"heartbeat must be a whole number of seconds from 1 to {MAX_SECONDS}"
        self._problems.append(Problem("heartbeat", "query", words))
        return None

    def take_seconds(self, name: str, most: float) -> float | None:
        """None where it is not given."""
        value = self._take(name)
        if value is None:
            return None
        if self._location == "query":
            value = _number(value[-1])
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            self.note(name, f"{name} must be a number of seconds from 0 to {most:g}")
            return None
        return value

    def take_string(self, name: str) -> str | None:
        """None where it is not given, and where it is none."""
        value = self._take(name)
        if isinstance(value, list) and self._location == "query":
            value = value[-1]
        if value is not None and not isinstance(value, str):
            self.note(name, f"{name} must be a string")
            return None
        return value

    async def take_definitions(self, registry: Registry, settings: Settings) -> list[Definition]:
        """`tasks`: a list of definitions, or a single one."""
        value = self._take("tasks")
        if value is None:
            self.note("tasks", "tasks is missing")
            return []
        values = value if isinstance(value, list) else [value]
        if not values:
            self.note("tasks", "tasks is empty, at least one task is needed")
        if len(values) > settings.max_tasks_per_request:
            limit = settings.max_tasks_per_request
            self.note("tasks", f"more than {limit} tasks in one request (max_tasks_per_request)")
            return []
        definitions = []
        for definition in self._definitions("tasks", values, registry):
            definitions.append(definition)
            if len(definitions) % READ_AT_ONCE == 0:
                await asyncio.sleep(0)
        return definitions

    def take_definition(self, registry: Registry, accept: str) -> list[Definition]:
        """`task`: one definition, as a list of one, or of none if it is wrong.

        `accept`, the header of that name, decides about formats.
        """
        value = self._take("task")
        if value is None:
            self.note("task", "task is missing")
            return []
        return list(self._definitions("task", [value], registry, accept))

    def take_keys(self, name: str, settings: Settings) -> list[str]:
        """One or more task keys."""
        value = self._take(name)
        if value is None or value == []:
            self.note(name, f"{name} is missing")
            return []
        keys = [value] if isinstance(value, str) else value
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            self.note(name, f"{name} must be a task key or a list of them")
            return []
        if len(keys) > settings.max_tasks_per_request:
            limit = settings.max_tasks_per_request
            self.note(name, f"more than {limit} keys in one request (max_tasks_per_request)")
            return []
        return keys

    def take_text(self, name: str, pattern: re.Pattern[str], right: str) -> str | None:
        """One text of a query string that the whole pattern matches; None where there is none."""
        texts = self._take(name)
        if texts is None:
            return None
        if len(texts) == 1 and pattern.fullmatch(texts[0]):
            return str(texts[0])
        self.note(name, f"{name} must be {right}")
        return None

    def take_key(self) -> str:
        """`task`: one task key."""
        value = self._take("task")
        keys = [value] if isinstance(value, str) else value or []
        if len(keys) != 1 or not isinstance(keys[0], str):
            self.note("task", "task must be one task key" if keys else "task is missing")
            return ""
        return keys[0]

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._values.get(name)

    def _definitions(
        self, name: str, values: Sequence[Any], registry: Registry, accept: str | None = None
    ) -> Iterator[Definition]:
        for index, value in enumerate(values):
            try:
                yield read_definition(registry, value, accept)
            except NotADefinition as error:
                place = f"{name}[{index}]" if len(values) > 1 else name
                self.note(name, f"{place}: {error}")
                if len(self._problems) >= MAX_TOLD:
                    return


def task_query(request: web.Request) -> dict[str, list[str]]:
    """The definition that the query string of a GET carries, without what is the method's."""
    return {
        name: texts for name, texts in _lists(request.query).items() if name not in RESERVED_NAMES
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lists(query: MultiMapping[str]) -> dict[str, list[str]]:
    return {name: query.getall(name) for name in dict.fromkeys(query)}
