"""The same GET of create_file, by the same account, is answered by one run of the task."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from tests.support.accounts import API_KEY, PAGE
from tests.support.api import Answer, Api
from tests.support.broker import Broker
from tests.support.origin import Origin
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_bugs")


async def get(api: Api, filename: str = "/cat.jpg", /, **query: Any) -> Answer:
    path = f"/v1/create_file{filename}?{urlencode({'task_name': 'image.thumb', **query})}"
    return await api.ask("GET", path, headers=api.headers)


def location(answer: Answer) -> str:
    assert answer.status == 302
    return answer.headers["Location"]


async def test_a_hundred_at_once_run_one_task(api: Api, broker: Broker, origin: Origin) -> None:
    url, may_go_on = origin.url("held.jpg"), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        await may_go_on.wait()
        return web.Response(body=origin.bodies["rocket.jpg"])

    origin.handlers["held.jpg"] = hold
    before = await broker.count_jobs()
    asking = [asyncio.create_task(get(api, url=url, width=30)) for _ in range(100)]
    await eventually(lambda: origin.hits)
    assert not any(task.done() for task in asking)
    may_go_on.set()
    answers = await asyncio.gather(*asking)
    assert len({location(answer) for answer in answers}) == 1
    assert origin.hits == ["held.jpg"]
    assert await broker.count_jobs() == before + 1


async def test_a_later_one_is_answered_at_once(api: Api, broker: Broker, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    first = location(await get(api, url=url, width=30))
    before = await broker.count_jobs()
    assert location(await get(api, url=url, width=30)) == first
    assert location(await get(api, width=30, url=url)) == first
    assert location(await get(api, "/other.png", url=url, width=30)) == first
    assert location(await get(api, "", url=url, width=30)) == first
    assert location(await get(api, url=url, width="30", rotation=0)) == first
    assert await broker.count_jobs() == before
    assert origin.hits == ["rocket.jpg"]


async def test_an_account_shares_with_itself_whatever_its_credentials(
    api: Api, origin: Origin
) -> None:
    url = origin.url("rocket.jpg")
    first = location(await get(api, url=url))
    api.headers = {"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE}
    assert location(await get(api, url=url)) == first
    api.headers = {"Referer": PAGE}
    assert location(await get(api, url=url, api_key=API_KEY)) == first
    assert origin.hits == ["rocket.jpg"]


async def test_each_file_of_a_task_may_be_asked_for(api: Api, origin: Origin) -> None:
    query = {
        "task_name": "image.thumbs",
        "url": origin.url("rocket.jpg"),
        "sizes": '{"small": {"width": 20}, "large": {"width": 40}}',
    }
    small = location(await get(api, "/small", **query))
    large = location(await get(api, "/large", **query))
    assert small.removesuffix("small.jpg") == large.removesuffix("large.jpg")
    assert (await get(api, "/medium", **query)).status == 404
    assert origin.hits == ["rocket.jpg"]


async def test_other_parameters_run_again(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    different: list[dict[str, Any]] = [
        {},
        {"width": 30},
        {"width": 31},
        {"height": 30},
        {"width": 30, "crop": "true"},
        {"width": 30, "format": "png"},
        {"width": 30, "task_store": '{"type": "volatile"}'},
    ]
    answers = [location(await get(api, url=url, **query)) for query in different]
    assert len(set(answers)) == len(different)
    assert len(origin.hits) == len(different)


async def test_another_account_runs_its_own(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    first = location(await get(api, url=url))
    api.headers = {"Authorization": "Secret other-secret"}
    assert location(await get(api, url=url)) != first
    assert origin.hits == ["rocket.jpg"] * 2


async def test_a_post_always_runs(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    body = {"task": {"task_name": "image.thumb", "url": url}}
    first = location(await get(api, url=url))
    answers = [
        await api.ask("POST", "/v1/create_file/cat.jpg", json=body, headers=api.headers)
        for _ in range(2)
    ]
    assert len({first, *map(location, answers)}) == 3
    assert len(origin.hits) == 3


async def test_an_error_is_told_to_who_waits_and_to_nobody_later(api: Api, origin: Origin) -> None:
    url, may_go_on = origin.url("late.jpg"), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        await may_go_on.wait()
        raise web.HTTPNotFound

    origin.handlers["late.jpg"] = hold
    asking = [asyncio.create_task(get(api, url=url)) for _ in range(10)]
    await eventually(lambda: origin.hits)
    may_go_on.set()
    answers = await asyncio.gather(*asking)
    assert {answer.status for answer in answers} == {400}
    assert {answer.json["result"] for answer in answers} == {
        f"File '{url}' could not be fetched: the server answered 404 Not Found"
    }
    del origin.handlers["late.jpg"]
    origin.bodies["late.jpg"] = origin.bodies["rocket.jpg"]
    assert location(await get(api, url=url)).endswith("/output.jpg")


async def test_wrong_parameters_are_told_each_time(api: Api, origin: Origin) -> None:
    answers = [await get(api, url=origin.url("rocket.jpg"), width=0) for _ in range(2)]
    assert [answer.status for answer in answers] == [400, 400]
    keys = {answer.json["key"] for answer in answers}
    assert len(keys) == 2
    assert origin.hits == []
