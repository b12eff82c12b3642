"""A request repeated with its Idempotency-Key is answered by the jobs of the first one."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.waiting import DEADLINE_SECONDS
from tests.support.wire import read_lines

HELLO = {"tasks": [{"task_name": "hello", "name": "John"}, {"task_name": "hello", "name": "Jane"}]}


def repeatable(secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": f"Secret {secret}", "Idempotency-Key": secrets.token_hex(8)}


def keys_of(statuses: list[dict[str, Any]]) -> list[str]:
    return [status["key"] for status in statuses]


async def test_the_same_key_and_body_give_the_same_tasks(api: Api) -> None:
    headers = repeatable()
    answers = [await api.post("/v1/create", HELLO, **headers) for _ in range(3)]
    assert [status for status, _ in answers] == [200, 200, 200]
    assert len({tuple(keys_of(statuses)) for _, statuses in answers}) == 1


async def test_repeated_at_the_same_moment_they_are_created_once(api: Api) -> None:
    headers = repeatable()
    answers = await asyncio.gather(*(api.post("/v1/create", HELLO, **headers) for _ in range(10)))
    assert len({tuple(keys_of(statuses)) for _, statuses in answers}) == 1


async def test_without_a_key_each_request_has_its_own_tasks(api: Api) -> None:
    answers = [await api.post("/v1/create", HELLO) for _ in range(2)]
    assert len({tuple(keys_of(statuses)) for _, statuses in answers}) == 2


async def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    headers = repeatable()
    await api.post("/v1/create", HELLO, **headers)
    other = {"tasks": [{"task_name": "hello", "name": "Jack"}]}
    status, answer = await api.post("/v1/create", other, **headers)
    assert status == 422
    assert answer == {
        "status": "error",
        "message": "another request was made with this Idempotency-Key",
    }


async def test_another_account_may_use_the_same_key(api: Api) -> None:
    headers = repeatable()
    _, first = await api.post("/v1/create", HELLO, **headers)
    others = {**headers, "Authorization": "Secret other-secret"}
    status, second = await api.post("/v1/create", HELLO, **others)
    assert status == 200
    assert keys_of(first) != keys_of(second)


async def test_a_repeated_request_that_blocks_waits_for_the_first(api: Api, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    body = {"tasks": [{"task_name": "site.gate", "path": str(gate)}], "block": True}
    headers = repeatable()
    first = asyncio.create_task(api.post("/v1/create", body, **headers))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not list(tmp_path.glob("gate.*.started")):
            await asyncio.sleep(0.01)
    second = asyncio.create_task(api.post("/v1/create", body, **headers))
    gate.touch()
    assert (await first) == (await second)
    assert len(list(tmp_path.glob("gate.*.started"))) == 1


async def test_a_repeated_stream_is_about_the_same_tasks(api: Api) -> None:
    headers = repeatable()
    _, created = await api.post("/v1/create", HELLO, **headers)
    async with api.session.post(
        api.url + "/v1/create_stream", json=HELLO, headers=headers
    ) as response:
        first, *lines = await read_lines(response)
    assert keys_of(first) == keys_of(created)
    finals = {line["key"]: line["status"] for line in [*first, *lines]}
    assert finals == dict.fromkeys(keys_of(created), "success")


@pytest.mark.parametrize("key", ["", "a b", "é", 256 * "x"])
async def test_a_key_of_another_form_is_refused(api: Api, key: str) -> None:
    headers = {**repeatable(), "Idempotency-Key": key}
    status, answer = await api.post("/v1/create", HELLO, **headers)
    assert status == 400
    [problem] = answer["errors"]
    assert (problem["name"], problem["location"]) == ("Idempotency-Key", "header")


async def test_create_file_repeated_redirects_to_the_same_file(api: Api, origin: Any) -> None:
    task = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "width": 50}
    headers = repeatable()
    places = []
    for _ in range(2):
        answer = await api.ask("POST", "/v1/create_file", json={"task": task}, headers=headers)
        assert answer.status == 302
        places.append(answer.headers["Location"])
    assert places[0] == places[1]
