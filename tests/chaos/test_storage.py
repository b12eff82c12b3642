"""Output files in a store that fails, and of workers that are killed while they upload."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from tests.chaos.check import check, written
from tests.chaos.harness import LEASE_SECONDS, Definition, Fleet
from tests.chaos.test_clients import command_lines
from tests.support.http_faults import NONE, Choice, Fault, FaultyServer, Request, choose
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Look

UNREACHABLE = "'output' could not be kept: the store of files does not answer (tried 3 times)"


@pytest.fixture
def patience_seconds(look: Look) -> float:
    """How long a request to the store may take, which is a Python program of its own."""
    began = time.monotonic()
    look.put("large", bytes(13_000_000))
    took_seconds = time.monotonic() - began
    look.delete("large")
    return max(2.0, 10 * took_seconds)


@pytest.fixture
def faults(patience_seconds: float) -> Sequence[Fault]:
    return (
        Fault(status=500),
        Fault(status=503),
        Fault(delay_seconds=1.5 * patience_seconds),
        Fault(bytes_up=0),
        Fault(bytes_up=2_000_000),
        Fault(bytes_down=0),
    )


@asynccontextmanager
async def storing_fleet(
    path: Path, look: Look, faulty: FaultyServer, patience_seconds: float, **environment: str
) -> AsyncIterator[Fleet]:
    """Its outputs go to a store behind faults, which it soon gives up."""
    store = look.settings(
        faulty.url, timeout_seconds=patience_seconds, retry_seconds=2 * patience_seconds
    )
    environment |= {
        "DRAGON_STORES": json.dumps({"media": msgspec.to_builtins(store)}),
        "DRAGON_OUTPUT_STORE": "media",
    }
    async with Fleet(path, servers=1, workers=2, **environment) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def storing(
    tmp_path: Path, look: Look, faulty: FaultyServer, patience_seconds: float
) -> AsyncIterator[Fleet]:
    async with storing_fleet(tmp_path, look, faulty, patience_seconds) as fleet:
        yield fleet


@pytest_asyncio.fixture
async def short_leased_storing(
    tmp_path: Path, look: Look, faulty: FaultyServer, patience_seconds: float
) -> AsyncIterator[Fleet]:
    lease = f"{LEASE_SECONDS}"
    async with storing_fleet(
        tmp_path, look, faulty, patience_seconds, DRAGON_LEASE_SECONDS=lease
    ) as fleet:
        yield fleet


@pytest.mark.chaos(ci=10, long=200)
async def test_p28_faults_of_a_store_are_bounded(
    storing: Fleet,
    look: Look,
    faulty: FaultyServer,
    faults: Sequence[Fault],
    chance: random.Random,
    n: int,
) -> None:
    ends = []
    for number in range(n):
        is_outage = number % 10 == 9
        faulty.choose = (outage if is_outage else now_and_then)(faults, chance)
        keys = await storing.submit([write(chance) for _ in range(3)], chance)
        finals = await storing.wait(keys)
        # Away for longer than all tries take, it is one error; all else is not even noticed.
        ends += [final["status"] for final in finals]
        for final in finals:
            assert final["status"] == ("error" if is_outage else "success"), final
            assert not is_outage or final["result"] == UNREACHABLE
    faulty.choose = lambda _: NONE
    await assert_objects_are_whole(storing, look)
    assert look.unfinished() == []
    assert ends.count("error") == 3 * (n // 10)
    await check(storing, is_exact=True)
    assert_nothing_is_told(storing)


@pytest.mark.chaos(ci=5, long=200)
async def test_p23_an_object_is_there_whole_or_not_at_all(
    short_leased_storing: Fleet,
    look: Look,
    faulty: FaultyServer,
    faults: Sequence[Fault],
    chance: random.Random,
    n: int,
) -> None:
    storing = short_leased_storing
    for _ in range(n):
        faulty.choose = now_and_then(faults, chance)
        keys = await storing.submit([write(chance) for _ in range(6)], chance)
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        await storing.kill(chance.choice(storing.workers))
        await assert_objects_are_whole(storing, look)
        await asyncio.gather(storing.start("worker"), storing.wait(keys))
    faulty.choose = lambda _: NONE
    await assert_objects_are_whole(storing, look)
    await check(storing, is_exact=True)
    assert_nothing_is_told(storing)


@pytest.mark.chaos(ci=1, long=10)
async def test_p35_keys_and_signatures_of_stores_are_told_to_nobody(
    storing: Fleet, look: Look, faulty: FaultyServer, chance: random.Random, n: int
) -> None:
    told: list[object] = []
    for _ in range(n):
        urls = [look.signed_put(f"{number}.txt", "text/plain", faulty.url) for number in range(4)]
        urls.append("http://127.0.0.1:1/nobody?X-Amz-Signature=very-private")
        faulty.choose = refuse_some(urls[2].partition("?")[0], urls[3].partition("?")[0])
        stores = [{"type": "s3_signed", "url": url} for url in urls]
        keys = await storing.submit([write(chance) | {"task_store": store} for store in stores])
        keys += await storing.submit([write(chance)])
        finals = await storing.wait(keys)
        ends = [final["status"] for final in finals]
        assert ends == ["success", "success", "error", "error", "error", "error"], finals
        told += finals
        for key in keys:
            api = storing.api()
            told.append(await api.get(f"/v2/status?tasks={key}&details=true"))
            told.append((await api.ask("GET", f"/files/{key}/output.txt")).body.decode())
    for words in (json.dumps(told), storing.logs(), json.dumps(command_lines(storing))):
        for secret in (ACCESS_KEY, SECRET_KEY, "Signature", "very-private"):
            assert secret not in words, secret


def refuse_some(away: str, refused: str) -> Choice:
    """One signed URL does not answer, another says no, and so does the store of the fleet."""

    def one(request: Request) -> Fault:
        path = request.target.partition("?")[0]
        if away.endswith(path):
            return Fault(status=503)
        is_signed = "X-Amz-Signature" in request.target
        return NONE if is_signed and not refused.endswith(path) else Fault(status=403)

    return one


def write(chance: random.Random) -> Definition:
    """Up to 13 MB, which takes two parts, another text each."""
    return {
        "task_name": "site.write",
        "text": f"{chance.getrandbits(32):010} ",
        "repeats": chance.choice([1, 1000, 100_000]),
        "steps": chance.randint(1, 12),
    }


def now_and_then(faults: Sequence[Fault], chance: random.Random) -> Choice:
    """A fault for one request of six."""

    def one(_: Request) -> Fault:
        return chance.choice(faults) if chance.random() < 1 / 6 else NONE

    return one


def outage(faults: Sequence[Fault], chance: random.Random) -> Choice:
    """Uploads fail, one way or another."""
    return choose(
        chance.choice([fault for fault in faults if not fault.bytes_up]),
        method=chance.choice(["PUT", ""]),
    )


async def assert_objects_are_whole(fleet: Fleet, look: Look) -> None:
    """All that the store shows, whether or not a record names them; and all that one names."""
    records = {record.update.key: record for record in await fleet.records()}
    asked, shown = await fleet.params(), await asyncio.to_thread(look.paths)
    for path in shown:
        # What an attempt that failed had kept is deleted some time later.
        with suppress(FileNotFoundError):
            _, content = await asyncio.to_thread(look.get, path)
            assert content == written(asked[path.split("/")[2]]), path
    named = {file.path for record in records.values() for file in record.files}
    assert named <= set(shown)


def assert_nothing_is_told(fleet: Fleet) -> None:
    logs = fleet.logs()
    for secret in (ACCESS_KEY, SECRET_KEY, "Signature"):
        assert secret not in logs
