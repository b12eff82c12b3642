"""More work, more requests and slower readers than a server can take."""

import asyncio
import json
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from typing import Any

import aiohttp
import psutil
import pytest

from dragon.engine.lag import LATE_SECONDS, SAMPLE_SECONDS
from dragon.settings import Slots
from tasks.toolkit.geometry import Size
from tests.chaos.check import check
from tests.chaos.harness import END_SECONDS, Definition, Fleet
from tests.chaos.ledger import finals_of
from tests.chaos.pace import Waits
from tests.chaos.test_clients import HELLO
from tests.chaos.test_crashes import read_stream
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.origin import Origin
from tests.support.pictures import CAT
from tests.support.processes import Part
from tests.support.waiting import eventually, until

GOOD = b"HTTP/1.1 200"
QUEUED = 5
"""So many tasks of the account "few" may wait."""
AT_ONCE = 100
"""Requests under way: where a server is slow, its clients' next ones wait."""


@pytest.mark.chaos(ci=20, long=200)
async def test_p16_clients_that_do_not_read_hurt_only_themselves(
    fleet_of_patience: Fleet, gate: Gate, n: int, is_long: bool
) -> None:
    """So many read nothing, and half as many a byte each second."""
    fleet = fleet_of_patience
    server, spared = fleet.servers
    ended = await fleet.submit([HELLO | {"name": "you" * 3_000}] * 40)
    # As many that read: what these take is no fault of those that do not.
    await asyncio.gather(*(follow_in_time(fleet, ended) for _ in range(n + n // 2)))
    running = await fleet.submit([gate.task()])
    memory_bytes = server.process.memory_info().rss
    with ExitStack() as stack:
        asked = (unread(stack, server, ended + running) for _ in range(n + n // 2))
        # Until then the server is busy with their requests, as it would be with any.
        silent = await asyncio.gather(*asked)
        slow = asyncio.create_task(read_a_byte_each_second(silent[n:]))
        stack.callback(slow.cancel)
        others, elsewhere = await p99_seconds(fleet, [server, spared], is_long)
        grown_bytes = server.process.memory_info().rss - memory_bytes
        await until(lambda: are_dropped(server, silent), 60)
    assert grown_bytes <= 1_000_000 * len(silent)
    # In short windows beside other tests, chance is larger than the promised tenth.
    assert others <= (1.1 * elsewhere + 0.001 if is_long else 2 * elsewhere + 0.5)
    gate.open()
    assert [final["status"] for final in await fleet.wait(running)] == ["success"]
    await check(fleet, is_exact=True)


async def p99_seconds(fleet: Fleet, servers: Sequence[Part], is_long: bool) -> list[float]:
    """What all but the slowest hundredth of requests take, in the median of some windows.

    The servers are asked by turns: whatever else the machine does meanwhile it does to each. In
    few windows it may do more to one, so in these what it held up is not counted.
    """
    windows, requests = (9, 300) if is_long else (5, 20)
    p99: list[list[float]] = [[] for _ in servers]
    waits = Waits(fleet.pace, pids_of(fleet, *servers, *fleet.workers))
    watch = asyncio.create_task(waits.run())

    async def seconds(api: Api, server: Part) -> float:
        began = time.time()
        await hello(fleet, api)
        ended = time.time()
        pids = pids_of(fleet, server, *fleet.workers)
        return ended - began if is_long else waits.own_seconds(began, ended, *pids)

    async with aiohttp.ClientSession() as session:
        asked = [(Api(session, server.url()), server) for server in servers]
        for _ in range(windows):
            took = [[await seconds(*one) for one in asked] for _ in range(requests)]
            for times, own in zip(zip(*took, strict=True), p99, strict=True):
                own.append(statistics.quantiles(times, n=100)[-1])
    watch.cancel()
    return [statistics.median(own) for own in p99]


def pids_of(fleet: Fleet, *parts: Part) -> list[int]:
    """Of these, and of what takes part in whatever they do for the test."""
    return [os.getpid(), fleet.broker.process.pid, *(part.process.pid for part in parts)]


async def follow_in_time(fleet: Fleet, keys: list[str]) -> None:
    """Read a stream; once more where the machine kept this process from that for too long."""
    async with asyncio.timeout(END_SECONDS):
        while True:
            with suppress(aiohttp.ClientPayloadError):
                await fleet.follow(keys)
                return


async def hello(fleet: Fleet, api: Api, account: str = "acme") -> None:
    status, [final] = await api.post(
        "/v1/create", {"tasks": HELLO, "block": True}, Authorization=f"Secret {account}-secret"
    )
    assert (status, final["status"]) == (200, "success")
    fleet.ledger.acknowledge([final])


async def unread(stack: ExitStack, server: Part, keys: list[str]) -> socket.socket:
    """A connection with a stream that has begun and nobody reads; open as long as the stack."""
    while True:
        connection = stack.enter_context(ask_and_read_nothing(server, keys))
        await eventually(partial(beginning, connection))
        if beginning(connection) == GOOD:
            return connection
        # The server was too busy for this one.
        connection.close()


def beginning(connection: socket.socket) -> bytes:
    """What came of the answer, which is left where it is; all is well with one that is dropped."""
    try:
        return connection.recv(len(GOOD), socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""
    except ConnectionError:
        return GOOD


def ask_and_read_nothing(server: Part, keys: list[str]) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = server.url().removeprefix("http://").split(":")
    connection.connect((host, int(port)))
    body = json.dumps({"tasks": keys}).encode()
    head = f"POST /v1/status_stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    connection.setblocking(False)
    return connection


async def read_a_byte_each_second(connections: Sequence[socket.socket]) -> None:
    while True:
        for connection in connections:
            with suppress(BlockingIOError, ConnectionError):
                connection.recv(1)
        await asyncio.sleep(1)


async def are_dropped(server: Part, silent: list[socket.socket]) -> bool:
    """The server has none of these connections any more."""
    ours = {connection.getsockname()[1] for connection in silent}
    theirs = await asyncio.to_thread(server.process.net_connections)
    return not any(
        one.raddr and one.raddr.port in ours and one.status == psutil.CONN_ESTABLISHED
        for one in theirs
    )


@pytest.mark.chaos(ci=15, long=600)
async def test_p25_the_loops_are_never_held_up(
    fleet: Fleet, origin: Origin, n: int, is_long: bool
) -> None:
    """For so many seconds."""
    origin.bodies["large.jpg"] = large_picture()
    tasks = heaviest(origin.url("large.jpg"))
    parts = (*fleet.servers, *fleet.workers)
    waits = Waits(fleet.pace, pids_of(fleet, *parts))
    watch = asyncio.create_task(waits.run())
    async with asyncio.TaskGroup() as group:
        for server in fleet.servers:
            group.create_task(run_again_and_again(fleet, server, tasks, n))
            group.create_task(run_again_and_again(fleet, server, 2000 * [HELLO], n, 10))
            group.create_task(ask_for_health(fleet, server, n, waits))
    watch.cancel()
    held_up = [
        seconds
        for part in parts
        for event in part.events("loop_was_held_up")
        if (seconds := waits.own_seconds(*span(event), part.process.pid)) > LATE_SECONDS
    ]
    samples = len(parts) * n / SAMPLE_SECONDS
    assert len(held_up) <= samples * (0.001 if is_long else 0.01), held_up
    await check(fleet, is_exact=True)


def span(event: dict[str, Any]) -> tuple[float, float]:
    """When a loop was held up."""
    end = datetime.fromisoformat(event["timestamp"]).timestamp()
    return end - event["seconds"], end


def heaviest(url: str) -> list[Definition]:
    sizes = {f"{width}": {"width": width} for width in range(100, 2100, 100)}
    return [
        {"task_name": "image.thumb", "url": url, "width": 3000, "format": "webp"},
        {"task_name": "image.thumbs", "url": url, "sizes": sizes},
        {"task_name": "image.info", "url": url},
        *10 * [{"task_name": "site.flood", "steps": 500}],
        *4 * [{"task_name": "site.spin"}],
    ]


def large_picture() -> bytes:
    from pyvips import Image

    from tasks.toolkit.pictures import vips

    image = vips.resize(Image.new_from_file(str(CAT)), Size(8000, 6000))
    data: bytes = image.write_to_buffer(".jpg")
    return data


async def run_again_and_again(
    fleet: Fleet, server: Part, tasks: list[Definition], seconds: float, pause_seconds: float = 0
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lines = await read_stream(fleet, tasks, server)
        assert {final["status"] for final in finals_of(lines).values()} == {"success"}
        await asyncio.sleep(pause_seconds)


async def ask_for_health(fleet: Fleet, server: Part, seconds: float, waits: Waits) -> None:
    """25 times a second."""
    async for number in paced(25, seconds):
        began = time.time()
        status, _ = await fleet.api(server).get("/health/live" if number % 4 else "/health/ready")
        assert status == 200
        assert waits.own_seconds(began, time.time(), *pids_of(fleet, server)) < 1


@pytest.mark.chaos(ci=6, long=60)
async def test_p26_what_is_too_much_is_refused_and_others_get_their_turn(
    fleet: Fleet, n: int
) -> None:
    """For so many seconds an account asks for ten times what two decoders can do."""
    memory_bytes = [server.process.memory_info().rss for server in fleet.servers]
    waits: list[float] = []
    turns = asyncio.Semaphore(AT_ONCE)
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        others = group.create_task(ask_from_time_to_time(fleet, n, waits))
        flood = [group.create_task(ask(fleet, turns, number)) async for number in paced(200, n)]
        await others
    answers = [task.result() for task in flood]
    # As many as there are slots are admitted at once, and then as many as have ended.
    can_be_done = 10 * len(fleet.workers) * (time.monotonic() - began)
    slots = Slots().fast * len(fleet.workers)
    assert answers.count(401)
    assert answers.count(200) <= slots + QUEUED + can_be_done
    assert max(waits) <= 5
    for server, before in zip(fleet.servers, memory_bytes, strict=True):
        assert server.process.memory_info().rss <= before + 50_000_000
    await check(fleet, is_exact=True)


async def paced(times_a_second: int, seconds: float) -> AsyncIterator[int]:
    """Numbers at an even pace, also when that was missed for a moment."""
    began = time.monotonic()
    for number in range(int(times_a_second * seconds)):
        await asyncio.sleep(began + number / times_a_second - time.monotonic())
        yield number


async def ask(fleet: Fleet, turns: asyncio.Semaphore, number: int) -> int:
    """The status of one of many requests of an account that may queue five tasks."""
    async with turns:
        answer = await fleet.api(fleet.servers[number % 2]).ask(
            "POST",
            "/v1/create",
            json={"tasks": {"task_name": "site.hold", "seconds": 0.1}},
            headers={"Authorization": "Secret few-secret"},
        )
    if answer.status == 200:
        fleet.ledger.acknowledge(answer.json)
    else:
        assert int(answer.headers["Retry-After"]) >= 1
    return answer.status


async def ask_from_time_to_time(fleet: Fleet, seconds: float, took: list[float]) -> None:
    """What the requests of another account take, each a task that is waited for."""
    async for number in paced(2, seconds):
        began = time.time()
        await hello(fleet, fleet.api(fleet.servers[number % 2]), "other")
        took.append(fleet.pace.seconds(began))
