"""What must hold after every run of every fault."""

import asyncio
import re
from functools import partial
from typing import Any

import msgspec
from redis.exceptions import RedisError

from tests.chaos.harness import ATTEMPTS, CONNECTIONS_EACH, Fleet
from tests.chaos.ledger import FINAL
from tests.support.accounts import CONFIG, WEBHOOK_SECRETS
from tests.support.paths import matching
from tests.support.processes import Part, is_alive
from tests.support.waiting import DEADLINE_SECONDS, eventually, until

SECRETS = ("acme-secret", "acme-api-key", "other-secret", "few-secret", *WEBHOOK_SECRETS)
assert all(secret in CONFIG for secret in SECRETS)
SPARE_DESCRIPTORS = CONNECTIONS_EACH + 6


async def check(fleet: Fleet, *, is_exact: bool = False) -> None:
    """Raises AssertionError for the first thing that does not hold.

    With `is_exact` there must be no job but those that were acknowledged.
    """
    for part in (*fleet.servers, *fleet.workers):
        assert is_alive(part.process), f"{part.process} died, and nobody had killed it"
    for server in fleet.servers if fleet.ledger.keys else ():
        await fleet.wait(fleet.ledger.keys, server)
    await _check_records(fleet, is_exact)
    await until(lambda: _counters_are_zero(fleet))
    await _check_leftovers(fleet)
    for part in (*fleet.servers, *fleet.workers):
        await _check_descriptors(fleet, part)
    for server in fleet.servers:
        await until(partial(_no_stream_is_open, fleet, server))
    await until(lambda: _connections_are_few(fleet))
    bad = re.compile("|".join((*SECRETS, "_bug", "run_died", "Traceback")))
    assert [line for line in fleet.logs().splitlines() if bad.search(line)] == []


async def _check_records(fleet: Fleet, is_exact: bool) -> None:
    """All jobs have ended, also those of which nobody was told; files are whole."""

    async def all_ended() -> bool:
        return all(record.update.state in FINAL for record in await fleet.records())

    await until(all_ended)
    records = {record.update.key: record for record in await fleet.records()}
    lost = set(fleet.ledger.keys) - records.keys()
    assert not lost, f"{len(lost)} acknowledged jobs are gone"
    if is_exact:
        assert records.keys() == set(fleet.ledger.keys), "some jobs exist twice"
    assert max(await fleet.attempts(list(records)), default=0) <= ATTEMPTS
    asked = await fleet.params()
    for record in records.values():
        for file in record.files:
            if file.store:
                continue  # where the test itself has to look
            path = fleet.data / "files" / file.path
            data = await asyncio.to_thread(path.read_bytes)
            assert len(data) == file.size
            if record.job.task == "site.write":
                assert data == written(asked[record.update.key])


def written(params: msgspec.Raw) -> bytes:
    asked = msgspec.json.decode(params)
    text = asked["text"] * asked.get("repeats", 1000) * asked.get("steps", 1)
    assert isinstance(text, str)
    return text.encode()


async def _counters_are_zero(fleet: Fleet) -> bool:
    async with fleet.store() as store:
        base = store.keys.base(0)
        client: Any = store.client
        counts = [
            int(count)
            for name in ("queued", "running", "parked")
            for count in (await client.hgetall(base + name)).values()
        ]
        waiting = [await client.zcard(base + name) for name in ("leases", "delayed")]
        ready = [await client.zcard(name) async for name in client.scan_iter(base + "ready:*")]
    return not any((*counts, *waiting, *ready))


async def _check_leftovers(fleet: Fleet) -> None:
    """Each living worker has an empty directory, and nobody else has one."""
    work = fleet.data / "work"
    alive = sum(is_alive(worker.process) for worker in fleet.workers)
    await eventually(partial(has_tidied_up, fleet))
    # What a killed worker left is swept when the next one starts.
    killed = fleet.kills_since_start
    assert len(list(work.iterdir())) <= alive + killed


def has_tidied_up(fleet: Fleet) -> bool:
    """No worker has anything left of a run: its end is told before that is deleted."""
    return not matching(fleet.data, "work/*/*")


async def _check_descriptors(fleet: Fleet, part: Part) -> None:
    most = fleet.baseline(part) + SPARE_DESCRIPTORS
    # Workers keep connections to sources open for up to half a minute.
    await eventually(lambda: part.process.num_fds() <= most, 30 + DEADLINE_SECONDS)


async def _no_stream_is_open(fleet: Fleet, server: Part) -> bool:
    answer = await fleet.api(server).ask("GET", "/metrics")
    return b"\ndragon_open_streams 0.0\n" in answer.body


async def _connections_are_few(fleet: Fleet) -> bool:
    async with fleet.store() as store:
        try:
            clients: Any = await store.client.info("clients")
        except RedisError:
            return False
    most = CONNECTIONS_EACH * (len(fleet.servers) + len(fleet.workers)) + 1
    return bool(clients["connected_clients"] <= most)
