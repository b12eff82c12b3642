"""Clients that repeat, leave or are not who they say."""

import asyncio
import json
import random
import re
from contextlib import suppress
from typing import Any

import aiohttp
import psutil
import pytest

from tests.chaos.check import SECRETS, check
from tests.chaos.harness import Fleet
from tests.chaos.proxy import Proxy
from tests.chaos.test_crashes import mixed, read_stream
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.processes import Part
from tests.support.waiting import DEADLINE_SECONDS, until

HELLO = {"task_name": "hello", "name": "you"}


@pytest.mark.chaos(ci=50, long=500)
async def test_p05_a_repeated_request_makes_one_task(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    async with Proxy(fleet.servers[0].url().removeprefix("http://")) as proxy:
        api = Api(fleet.session, f"http://{proxy.address}")
        for number in range(n):
            proxy.replies_to_drop = chance.randint(1, 3)
            headers = {"Authorization": f"Secret {SECRET}", "Idempotency-Key": f"request{number}"}
            answers = [await answered(api, headers) for _ in range(2)]
            assert answers[0][0]["key"] == answers[1][0]["key"]
            fleet.ledger.acknowledge(answers[0])
    assert len(fleet.ledger.keys) == n
    await check(fleet, is_exact=True)


async def answered(api: Api, headers: dict[str, str]) -> Any:
    """Ask until an answer comes through."""

    async def ask() -> Any:
        with suppress(aiohttp.ClientError):
            status, answer = await api.post("/v1/create", {"tasks": HELLO}, **headers)
            assert status == 200
            return answer

    return await until(ask)


@pytest.mark.chaos(ci=100, long=1000)
async def test_p17_a_disconnect_at_any_byte_leaves_no_half_a_task(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    for _ in range(n):
        tasks = mixed(chance, chance.randint(1, 3))
        await leave_at_random(chance.choice(fleet.servers), tasks, chance)
    for record in await fleet.records():
        assert record.job.task in ("hello", "site.write", "site.steps", "site.fail")
    await check(fleet)


async def leave_at_random(server: Part, tasks: list[Any], chance: random.Random) -> None:
    """Close at some byte of the request, or at some byte of the answer."""
    host, port = server.url().removeprefix("http://").split(":")
    body = json.dumps({"tasks": tasks}).encode()
    request = (
        f"POST /v1/{chance.choice(['create', 'create_stream'])} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Secret {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    reader, writer = await asyncio.open_connection(host, int(port))
    is_sent = chance.random() < 0.5
    writer.write(request if is_sent else request[: chance.randrange(len(request))])
    # An answer may be shorter, and nothing follows it.
    with suppress(ConnectionError, EOFError, TimeoutError):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await writer.drain()
            if is_sent:
                await reader.readexactly(chance.randint(1, 300))
    writer.transport.abort()


@pytest.mark.chaos(ci=4, long=1000)
async def test_p29_a_rolling_upgrade_loses_nothing(
    fleet: Fleet, chance: random.Random, n: int
) -> None:
    """Each in turn is replaced by a new one, while tasks come and streams are read."""
    for number in range(n):
        kind = "serve" if number % 2 else "worker"
        parts = fleet.servers if number % 2 else fleet.workers
        stays = next(server for server in fleet.servers if server is not parts[0])
        stream = asyncio.create_task(read_stream(fleet, mixed(chance, 40), stays))
        await fleet.submit(mixed(chance, 20), chance)
        newcomer = asyncio.create_task(fleet.start("serve" if kind == "serve" else "worker"))
        await asyncio.sleep(chance.uniform(0, 1))
        await newcomer
        await fleet.drain(parts[0])
        assert (await stream)[-1]["key"]
    await check(fleet, is_exact=True)
    assert set(await fleet.attempts(fleet.ledger.keys)) == {1}


FOR_SECRETS_ALONE = (
    ("GET", "/v2/storage/files"),
    ("DELETE", "/v2/storage/files?max_age=0"),
    ("GET", "/v2/storage/expiration"),
    ("POST", "/v2/storage/expiration?days=0"),
    ("GET", "/v2/webhooks/deliveries"),
)


@pytest.mark.chaos(ci=1, long=1)
async def test_p34_credentials_keep_their_class(fleet: Fleet, n: int) -> None:
    made, key = await fleet.submit(
        [
            {"task_name": "site.text", "text": "a"},
            {"task_name": "site.write", "text": "a", "steps": 50},
        ]
    )
    url = (await fleet.wait([made]))[0]["result"]["output"]
    for _ in range(n):
        for authorization in (f"Secret {API_KEY}", f"Api-Key {SECRET}", f"Bearer {SECRET}"):
            headers = {"Authorization": authorization, "Referer": PAGE}
            for method, path, body in [*CREATING, *owned(key, url)]:
                answer = await fleet.api().ask(method, path, json=body, headers=headers)
                assert answer.status == 401, (authorization, path)
        headers = {"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE}
        for method, path in FOR_SECRETS_ALONE:
            assert (await fleet.api().ask(method, path, headers=headers)).status == 401
        mine, nobodys = owned(key, url), owned("A" * 26, url.replace(made, "A" * 26))
        for one, other in zip(mine, nobodys, strict=True):
            assert await others_answer(fleet, *one) == await others_answer(fleet, *other)
    async with fleet.session.get(url) as response:
        assert await response.read() == b"a"
    [final] = await fleet.wait([key])
    assert final["status"] == "success"
    await check(fleet, is_exact=True)


CREATING = [
    ("POST", f"/{version}/{method}", body)
    for version in ("v1", "v2")
    for method, body in (
        ("create", {"tasks": HELLO}),
        ("create_stream", {"tasks": HELLO}),
        ("create_file", {"task": HELLO}),
    )
]


def owned(key: str, url: str) -> list[tuple[str, str, Any]]:
    """What may be done by the owner alone: to a task, its files, and the telling of its end."""
    return [
        ("POST", "/v1/cancel", {"tasks": [key]}),
        ("POST", "/v2/cancel", {"tasks": [key]}),
        ("DELETE", "/v2/storage/files", {"urls": [url]}),
        ("GET", f"/v2/webhooks/deliveries?task={key}", None),
        ("POST", f"/v2/webhooks/deliveries/{key}/replay", {}),
    ]


async def others_answer(fleet: Fleet, method: str, path: str, body: Any) -> tuple[int, bytes]:
    """What another account is told, but for the key, which it knows."""
    headers = {"Authorization": "Secret other-secret"}
    answer = await fleet.api().ask(method, path, json=body, headers=headers)
    return answer.status, re.sub(rb"[A-Z2-7]{26}", b"KEY", answer.body)


@pytest.mark.chaos(ci=1, long=1)
async def test_p35_secrets_and_paths_are_told_to_nobody(
    fleet: Fleet, chance: random.Random, origin: Origin, n: int
) -> None:
    signed = origin.url("rocket.jpg") + "?signature=very-private"
    told_to = {
        "url_callback": origin.url("hook") + "?token=very-private",
        "url_errback": "http://somebody:very-private@example.com/hook",
    }
    told: list[Any] = []
    for _ in range(n):
        keys = await fleet.submit(
            [
                {"task_name": "image.thumb", "url": signed, "width": 10},
                {"task_name": "site.bug", **told_to},
                {"task_name": "hello", "name": "you", **told_to},
                {"task_name": "site.crash"},
                *mixed(chance, 20),
            ]
        )
        told += await fleet.wait(keys)
        api = fleet.api()
        for path in ("/v1/create?secret=acme-secret", "/v1/status?tasks=../../x", "/files/x/y"):
            told.append((await api.ask("GET", path)).body.decode())
        told.append(await api.get("/health/ready"))
        told.append((await api.ask("GET", "/metrics")).body.decode())
    for words in (json.dumps(told), fleet.logs(), json.dumps(command_lines(fleet))):
        assert not [secret for secret in (*SECRETS, "very-private") if secret in words]
    for path in (str(fleet.data), "/usr/", "site-packages", "Traceback"):
        assert path not in json.dumps(told)
    assert not re.search(r"\.py\b", json.dumps(told))


def command_lines(fleet: Fleet) -> list[list[str]]:
    """Of all processes of Dragon, and of their children."""
    lines = []
    for part in (*fleet.servers, *fleet.workers):
        for process in (part.process, *part.process.children()):
            # A decoder may be replaced meanwhile.
            with suppress(psutil.NoSuchProcess):
                lines.append(process.cmdline())
    return lines
