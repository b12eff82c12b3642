"""Whether Valkey keeps what it accepts, as its own words and options tell."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from dragon.store.connection import translated_errors
from dragon.store.store import Store
from dragon.store.topologies import describe_servers

SECTIONS = ("persistence", "memory", "replication")
OPTIONS = ("appendfsync", "min-replicas-to-write")


class Durability(Struct, frozen=True, kw_only=True):
    """In words: what may lose tasks when Valkey dies; and when its machine or its primary does."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


async def check_durability(store: Store) -> Durability:
    """Looks at each server that takes writes. Raises Unavailable."""
    async with translated_errors():
        servers = await describe_servers(store.client, SECTIONS, OPTIONS)
    places = {name: f"Valkey at {name}" if name else "Valkey" for name in servers}
    return Durability(
        problems=tuple(
            f"{places[name]} {words}" for name, facts in servers.items() for words in _find(facts)
        ),
        warnings=tuple(
            f"{places[name]} {words}" for name, facts in servers.items() for words in _doubt(facts)
        ),
    )


def _find(facts: Mapping[str, Any]) -> list[str]:
    problems = []
    if facts.get("role") != "master":
        problems.append("is a replica, which may lose what it is told: name its primary")
    if not facts.get("aof_enabled"):
        problems.append("keeps no append-only file: set appendonly yes")
    elif facts.get("aof_last_write_status") != "ok":
        problems.append("cannot write its append-only file: see its log and disk")
    if facts.get("maxmemory_policy") != "noeviction":
        problems.append("may evict jobs: set maxmemory-policy noeviction")
    return problems


def _doubt(facts: Mapping[str, Any]) -> list[str]:
    # Services that run a Valkey for others often forbid to look at its options.
    if not facts.keys() >= set(OPTIONS):
        return [f"does not tell {' and '.join(OPTIONS)}: see for yourself, or allow CONFIG GET"]
    warnings = []
    if facts["appendfsync"] == "no":
        warnings.append(
            "does not force its append-only file to the disk, so a loss of power may cost"
            " the tasks of half a minute: set appendfsync everysec"
        )
    if facts.get("connected_slaves") and facts["min-replicas-to-write"] == "0":
        warnings.append(
            "accepts tasks also while no replica follows, which the one that takes over"
            " would lack: set min-replicas-to-write 1"
        )
    return warnings
