"""Dragon on a cluster of three Valkeys, with its jobs in 16 shards."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from dragon.errors import Unavailable
from dragon.settings import Settings
from dragon.store.durability import Durability, check_durability
from dragon.store.figures import announce_worker, read_figures, read_workers
from dragon.store.store import Store
from tests.store.contract import (  # noqa: F401 - they run here, with this module's client
    test_a_job_that_runs_is_cancelled,
    test_a_stream_tells_of_200_jobs_to_their_ends,
    test_a_thumbnail_is_made_and_read,
    test_an_account_is_held_to_its_limits,
    test_it_is_ready_and_tells_figures,
    test_jobs_of_many_requests_are_asked_for_together,
    test_repeated_requests_are_answered_by_the_first_ones_jobs,
    test_stored_files_are_listed_deleted_and_kept,
    test_what_is_blocked_for_has_ended,
)
from tests.store.load import under_load
from tests.support.api import Api, api_of
from tests.support.faults import ends
from tests.support.gate import Gate
from tests.support.jobs import submission
from tests.support.stores import submit
from tests.support.topologies import ThreeNodes, service, three_nodes
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.wire import next_line, read_lines

SHARDS = 16


@pytest.fixture(scope="module")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeNodes]:
    with three_nodes(tmp_path_factory.mktemp("valkeys")) as valkeys:
        yield valkeys


@pytest.fixture(scope="module")
def url(valkeys: ThreeNodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dragon")
    with service(folder, valkeys.url, DRAGON_SHARDS=str(SHARDS)) as url:
        yield url


@pytest_asyncio.fixture
async def client(url: str) -> AsyncIterator[Api]:
    async with api_of(url) as client:
        yield client


@pytest.fixture
def settings(valkeys: ThreeNodes, tmp_path: Path) -> Settings:
    """With a prefix of the test's own. Nobody gives up a node that is just held up."""
    return Settings(
        redis=valkeys.url,
        redis_prefix=tmp_path.name,
        shards=SHARDS,
        redis_timeout_seconds=DEADLINE_SECONDS,
    )


@pytest_asyncio.fixture
async def hasty(settings: Settings) -> AsyncIterator[Store]:
    async with Store(msgspec.structs.replace(settings, redis_timeout_seconds=2.0)) as hasty:
        yield hasty


async def test_jobs_of_all_shards_are_spread_and_read_at_once(
    store: Store, valkeys: ThreeNodes
) -> None:
    keys = await submit_everywhere(store)
    assert len({valkeys.node_of(store.keys.job(key)).port for key in keys}) == 3
    assert all(await store.read(keys))
    figures = await read_figures(store)
    assert sum(queue.depth for queue in figures.queues) == SHARDS


async def submit_everywhere(store: Store) -> list[str]:
    """A job in each shard."""
    return [
        key
        for shard in range(SHARDS)
        for key in await submit(store, submission(store, shard=shard))
    ]


async def test_workers_tell_of_themselves(store: Store) -> None:
    for name in ("first", "second"):
        await store.claim(name, {"fast": 1}, 0)
        await announce_worker(store, name, {"is": name})
    assert await read_workers(store) == {"first": {"is": "first"}, "second": {"is": "second"}}


async def test_scripts_that_a_node_has_forgotten_are_loaded_again(
    store: Store, valkeys: ThreeNodes
) -> None:
    await submit_everywhere(store)
    for node in valkeys.nodes:
        node.ask("SCRIPT", "FLUSH")
    await submit_everywhere(store)


async def test_keys_that_moved_to_another_node_are_found_there(
    settings: Settings, valkeys: ThreeNodes
) -> None:
    # A shard that no other test has keys in.
    shard = SHARDS
    async with Store(msgspec.structs.replace(settings, shards=SHARDS + 1)) as store:
        base = store.keys.base(shard)
        [new] = [node for node in valkeys.nodes if node is not valkeys.node_of(base)][:1]
        assert await store.claim("worker", {"fast": 0}, shard)
        valkeys.node_of(base).ask("DEL", base + "consumers")
        valkeys.move(base, new)
        [key] = await submit(store, submission(store, shard=shard))
        assert all(await store.read([key]))
        assert new.ask("EXISTS", store.keys.job(key)) == 1


async def test_nodes_each_of_which_sends_to_the_other_are_out_of_reach(
    settings: Settings, valkeys: ThreeNodes
) -> None:
    # A shard that no other test has keys in.
    shard = SHARDS + 1
    async with Store(msgspec.structs.replace(settings, shards=SHARDS + 2)) as store:
        base = store.keys.base(shard)
        owner = valkeys.node_of(base)
        other = next(node for node in valkeys.nodes if node is not owner)
        key = store.keys.new_job_key("", shard)
        assert await store.read([key]) == [None]
        valkeys.tell(owner, base, other)
        try:
            with pytest.raises(Unavailable):
                await store.claim("worker", {"fast": 0}, shard)
            with pytest.raises(Unavailable):
                await store.read([key])
        finally:
            valkeys.move(base, owner)
        assert await store.read([key]) == [None]


async def test_each_node_must_keep_what_it_was_told(store: Store, valkeys: ThreeNodes) -> None:
    assert await check_durability(store) == Durability(problems=(), warnings=())
    careless = valkeys.nodes[1]
    careless.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        [problem] = (await check_durability(store)).problems
    finally:
        careless.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    words = f"Valkey at {careless.place} may evict jobs: set maxmemory-policy noeviction"
    assert problem == words


async def test_a_node_that_stands_still_is_told_in_time(
    store: Store, hasty: Store, valkeys: ThreeNodes
) -> None:
    [key, *_] = await submit_everywhere(store)
    frozen = valkeys.node_of(store.keys.job(key))
    frozen.suspend()
    try:
        # Without deadlines of our own it would take minutes.
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(Unavailable):
                await hasty.read([key])
            with pytest.raises(Unavailable):
                await hasty.claim("worker", {"fast": 1}, store.keys.shard_of(key))
    finally:
        frozen.resume()
    await asyncio.to_thread(valkeys.wait_until_whole)
    assert all(await store.read([key]))


async def test_many_who_ask_a_node_that_stands_still_are_all_told_the_same(
    hasty: Store, valkeys: ThreeNodes
) -> None:
    """Also those whose connection another one closes as it gives up."""
    frozen = valkeys.nodes[0]
    # To load them again takes connections to all nodes at once.
    for node in valkeys.nodes:
        node.ask("SCRIPT", "FLUSH")

    async def ask(number: int) -> None:
        await asyncio.sleep(number * 0.05)
        with suppress(Unavailable):
            await hasty.reap(number % SHARDS)

    frozen.suspend()
    try:
        await asyncio.gather(*map(ask, range(100)))
    finally:
        frozen.resume()
    await asyncio.to_thread(valkeys.wait_until_whole)


async def test_a_node_that_is_killed_and_comes_back_has_forgotten_nothing(
    valkeys: ThreeNodes, client: Api, gate: Gate
) -> None:
    async with client.create_stream(*6 * [gate.task()]) as stream:
        watched = await next_line(stream)
        await gate.runs(6)
        # The one that tells the server of all changes: it must listen to another then.
        killed = next(one for one in valkeys.nodes if one.ask("PUBSUB", "CHANNELS", "*status:*"))
        others = [node for node in valkeys.nodes if node is not killed]
        async with under_load(client) as load:
            killed.kill()
            await load.until_refused()
            await eventually(
                lambda: any(one.ask("PUBSUB", "CHANNELS", "*status:*") for one in others)
            )
            killed.start()
            await asyncio.to_thread(valkeys.wait_until_whole)
            await load.until_acknowledged(40)
        gate.open()
        told = await read_lines(stream)
    finals = [line["key"] for line in told if line["status"] == "success"]
    assert sorted(finals) == sorted(one["key"] for one in watched)
    ended = await ends(client, list(load.acknowledged))
    assert {final["status"] for final in ended} == {"success"}
