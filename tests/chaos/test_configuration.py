"""A Valkey whose settings may lose what was accepted."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.api import api_of
from tests.support.processes import Part
from tests.support.topologies import Node
from tests.support.waiting import eventually, until, wait_until

NO_FILE = "keeps no append-only file: set appendonly yes"
EVICTS = "may evict jobs: set maxmemory-policy noeviction"
IS_REPLICA = "is a replica, which may lose what it is told: name its primary"
NO_SYNC = (
    "does not force its append-only file to the disk, so a loss of power may cost"
    " the tasks of half a minute: set appendfsync everysec"
)
ALONE = (
    "accepts tasks also while no replica follows, which the one that takes over"
    " would lack: set min-replicas-to-write 1"
)
SILENT = (
    "does not tell appendfsync and min-replicas-to-write: see for yourself, or allow CONFIG GET"
)

CONFIGURATIONS: tuple[tuple[tuple[str, ...], str, list[str], list[str]], ...] = (
    (("--appendonly", "no"), "alone", [NO_FILE], []),
    (("--appendonly", "no", "--save", "60 1"), "alone", [NO_FILE], []),
    (("--maxmemory-policy", "allkeys-lru"), "alone", [EVICTS], []),
    (("--appendfsync", "no"), "alone", [], [NO_SYNC]),
    (("--rename-command", "CONFIG", ""), "alone", [], [SILENT]),
    ((), "primary", [], [ALONE]),
    (("--replica-read-only", "no"), "replica", [IS_REPLICA], []),
)
"""Options, what the server is to the other one, and what must be said."""


@contextmanager
def valkey(folder: Path, options: tuple[str, ...], place: str) -> Iterator[str]:
    """The URL of one with these options; it may follow another one, or be followed."""
    with Node(folder, *(options if place != "replica" else ())) as first:
        if place == "alone":
            yield f"redis://{first.place}"
            return
        follow = ("--replicaof", f"127.0.0.1 {first.port}")
        # Otherwise the primary waits for more replicas before it serves the first.
        first.ask("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        with Node(folder, *follow, *options) as second:
            wait_until(lambda: second.info("replication").get("master_link_status") == "up")
            yield f"redis://{(first if place == 'primary' else second).place}"


@pytest.mark.chaos(ci=1, long=3)
@pytest.mark.parametrize(("options", "place", "problems", "warnings"), CONFIGURATIONS)
async def test_p04_unsafe_settings_of_valkey_are_told(
    tmp_path: Path,
    n: int,
    options: tuple[str, ...],
    place: str,
    problems: list[str],
    warnings: list[str],
) -> None:
    for number in range(n):
        data = tmp_path / f"dragon{number}"
        with (
            valkey(tmp_path / f"valkey{number}", options, place) as url,
            Part(data, "serve", "--port", "0", "--redis", url) as server,
            Part(data, "worker", "--redis", url, DRAGON_DECODERS="1"),
        ):
            said = {
                "problems": [f"Valkey {words}" for words in problems],
                "warnings": [f"Valkey {words}" for words in warnings],
            }
            await until(partial(health_says, server, said))
            await eventually(partial(server.events, "valkey_is_unsafe"))
            [event] = server.events("valkey_is_unsafe")
            assert {name: event[name] for name in said} == said
            assert event["level"] == "warning"


async def health_says(server: Part, said: dict[str, list[str]]) -> bool:
    """Ready it is only without a problem."""
    async with api_of(server.url()) as api:
        status, health = await api.get("/health/ready")
    assert (status, health["status"]) == ((503, "error") if health["problems"] else (200, "ok"))
    return {name: health[name] for name in said} == said
