"""What a client may rely on whatever Valkey is behind: tests for modules with a `client`."""

import secrets
from typing import Any

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.gate import Gate
from tests.support.keeper import Keeper, key_of
from tests.support.origin import Origin
from tests.support.waiting import until
from tests.support.wire import next_line, read_lines


def hello(name: object = "you") -> dict[str, Any]:
    return {"task_name": "hello", "name": str(name)}


async def test_what_is_blocked_for_has_ended(client: Api) -> None:
    assert (await client.run(**hello("you")))["result"] == "Hello you"


async def test_a_stream_tells_of_200_jobs_to_their_ends(client: Api) -> None:
    async with client.create_stream(*map(hello, range(200))) as stream:
        listed, *told = await read_lines(stream)
    ends = {one["key"]: one.get("result") for one in told if one["status"] == "success"}
    assert [ends[one["key"]] for one in listed] == [f"Hello {number}" for number in range(200)]


async def test_jobs_of_many_requests_are_asked_for_together(client: Api) -> None:
    keys = [(await client.run(**hello(number)))["key"] for number in range(20)]
    status, statuses = await client.post("/v1/status", {"tasks": keys})
    assert (status, [one["key"] for one in statuses]) == (200, keys)
    assert [one["result"] for one in statuses] == [f"Hello {number}" for number in range(20)]


async def test_a_thumbnail_is_made_and_read(client: Api, origin: Origin) -> None:
    query = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "secret": SECRET}
    places = set()
    for _ in range(3):
        answer = await client.ask("GET", "/v1/create_file/x.jpg", params=query)
        assert answer.status == 302
        places.add(answer.headers["Location"])
    [place] = places
    async with client.session.get(place) as file:
        assert (await file.read()).startswith(b"\xff\xd8\xff")


async def test_a_job_that_runs_is_cancelled(client: Api, gate: Gate) -> None:
    async with client.create_stream(gate.task()) as stream:
        [listed] = await next_line(stream)
        await gate.runs(1)
        status, _ = await client.post("/v1/cancel", {"tasks": [listed["key"]]})
        *_, last = await read_lines(stream)
    assert (status, last["status"], last["result"]) == (200, "error", "cancelled")


async def test_repeated_requests_are_answered_by_the_first_ones_jobs(client: Api) -> None:
    keys: list[tuple[str, ...]] = []
    for _ in range(5):
        headers = {**client.headers, "Idempotency-Key": secrets.token_hex(8)}
        body = {"tasks": [hello(), hello("me")]}
        answers = [await client.post("/v1/create", body, **headers) for _ in range(3)]
        found = {tuple(one["key"] for one in statuses) for _, statuses in answers}
        assert len(found) == 1
        keys += found
    assert len(set(keys)) == 5


async def test_an_account_is_held_to_its_limits(client: Api) -> None:
    for secret, words in (("few-secret", "5 tasks queued"), ("slow-secret", "5 tasks a minute")):
        body = {"secret": secret, "tasks": [hello()] * 6}
        answer = await client.ask("POST", "/v1/create", json=body)
        assert answer.status == 401
        assert words in answer.json["message"]


async def test_it_is_ready_and_tells_figures(client: Api) -> None:
    async def is_ready() -> bool:
        status, _ = await client.get("/health/ready")
        return status == 200

    assert await until(is_ready)
    await client.run(**hello())
    text = (await client.ask("GET", "/metrics")).body.decode()
    [line] = [
        line for line in text.splitlines() if 'ended_total{status="success",task="hello"}' in line
    ]
    assert float(line.split()[1]) >= 1


async def test_stored_files_are_listed_deleted_and_kept(client: Api) -> None:
    keeper = Keeper(client)
    urls = await keeper.make(*map(str, range(10)))
    names = await keeper.names()
    assert sorted(name.split("/")[1] for name in names) == sorted(map(key_of, urls))
    assert (await keeper.look())["usage"] == 10
    for days in (3, 0):
        answer = await keeper.ask("POST", "/expiration", json={"days": days})
        assert (await keeper.ask("GET", "/expiration")).json == answer.json
        assert answer.json["days"] == days
    assert await keeper.delete(urls=urls[:4]) == {"deleted": 4, "freed": 4, "usage": 6}
    assert await keeper.delete(names[0].split("/")[0]) == {"deleted": 6, "freed": 6, "usage": 0}
    assert (await client.ask("GET", urls[0].removeprefix(client.url))).status == 404
