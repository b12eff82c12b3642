"""Deliveries: no tasks, but on record, and made once more for whom they are."""

import asyncio

import pytest

from tests.support.accounts import API_KEY, PAGE
from tests.support.api import Api
from tests.support.hooking import created, delivery_of, hello, outcomes, settled
from tests.support.receivers import Receiver
from tests.support.waiting import DEADLINE_SECONDS, until

PATH = "/v2/webhooks/deliveries"
OTHER = {"Authorization": "Secret other-secret"}


async def test_a_delivery_is_no_task(api: Api, receiver: Receiver) -> None:
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    for method, path in (
        ("GET", f"/v2/status?tasks={delivery['id']}"),
        ("GET", f"/v1/status_stream?tasks={delivery['id']}"),
        ("GET", f"/v2/file?task={delivery['id']}"),
    ):
        assert (await api.ask(method, path)).status == 404
    status, _ = await api.post("/v2/cancel", {"tasks": [delivery["id"]]})
    assert status == 404


async def test_deliveries_count_for_no_limit(api: Api, receiver: Receiver) -> None:
    few, one = {"Authorization": "Secret few-secret"}, {"Authorization": "Secret one-secret"}
    receiver.answers.extend([receiver.hold] * 6)
    told = [(await created(api, *[hello(receiver)] * 5, **few), few)]
    await receiver.got(5)
    told += [(await created(api, hello(receiver), **one), one)]
    await receiver.got(6)
    assert len(await created(api, *[hello(receiver)] * 5, **few)) == 5
    status, [final] = await api.post("/v2/create", {"tasks": hello(receiver), "block": True}, **one)
    assert (status, final["status"]) == (200, "success")
    receiver.is_open.set()
    for keys, headers in told:
        for key in keys:
            await settled(api, key, **headers)
    await receiver.got(12)


async def test_deliveries_are_listed_newest_first_and_in_pages(
    api: Api, receiver: Receiver
) -> None:
    receiver.answers.extend([410] * 5)
    keys = []
    for _ in range(5):
        keys += await created(api, hello(receiver), **OTHER)
        await receiver.got(len(keys))
    wanted = [(key, "failed") for key in reversed(keys)]
    await eventually_listed(api, wanted)
    found: list[tuple[str, str]] = []
    after = ""
    while True:
        status, page = await api.get(f"{PATH}?state=failed&limit=2{after}", **OTHER)
        assert status == 200
        assert len(page["deliveries"]) <= 2
        found += [(one["task"], one["state"]) for one in page["deliveries"]]
        if page["next"] is None:
            break
        after = "&after=" + page["next"].replace("+", "%2B")
    assert found == wanted
    status, page = await api.get(f"{PATH}?state=pending", **OTHER)
    assert page == {"deliveries": [], "next": None}


async def eventually_listed(api: Api, wanted: list[tuple[str, str]]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            _, page = await api.get(PATH + "?state=failed", **OTHER)
            if [(one["task"], one["state"]) for one in page["deliveries"]] == wanted:
                return


async def test_a_tasks_delivery_is_found_by_its_key(api: Api, receiver: Receiver) -> None:
    receiver.answers.append(410)
    failed, delivered = await created(api, hello(receiver), hello(receiver))
    states = {(await settled(api, key))["state"]: key for key in (failed, delivered)}
    assert states.keys() == {"failed", "delivered"}
    for state, other in (("failed", "delivered"), ("delivered", "failed")):
        _, page = await api.get(f"{PATH}?task={states[state]}&state={state}")
        assert [one["task"] for one in page["deliveries"]] == [states[state]]
        _, page = await api.get(f"{PATH}?task={states[state]}&state={other}")
        assert page["deliveries"] == []
    _, page = await api.get(f"{PATH}?task={failed}", **OTHER)
    assert page["deliveries"] == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("state=lost", "state must be one of: pending, delivered, failed"),
        ("state=failed&state=pending", "state must be one of: pending, delivered, failed"),
        ("task=abc", "task must be one task key"),
        ("limit=0", "limit must be a number from 1 to 1000"),
        ("limit=1001", "limit must be a number from 1 to 1000"),
        ("limit=-1", "limit must be a number from 1 to 1000"),
        ("limit=٣", "limit must be a number from 1 to 1000"),
        ("after=[", "after must be what `next` of another answer was"),
        ("after=%2B", "after must be what `next` of another answer was"),
        (
            "status=failed",
            "status is unknown, choose among: secret, api_key, task, state, limit, after",
        ),
    ],
)
async def test_wrong_parameters_are_named(api: Api, query: str, words: str) -> None:
    status, answer = await api.get(f"{PATH}?{query}")
    assert status == 400
    assert [problem["description"] for problem in answer["errors"]] == [words]


async def test_only_a_secret_opens_them(api: Api, receiver: Receiver) -> None:
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    answers = [
        await api.ask(method, path, headers=headers, params=params)
        for method, path in (("GET", PATH), ("POST", f"{PATH}/{delivery['id']}/replay"))
        for headers, params in (
            ({}, {}),
            ({"Authorization": "Secret nobody"}, {}),
            ({"Authorization": f"Api-Key {API_KEY}", "Referer": PAGE}, {}),
            ({"Authorization": f"Secret {API_KEY}", "Referer": PAGE}, {}),
            ({"Referer": PAGE}, {"api_key": API_KEY}),
            ({"Authorization": "Api-Key acme-secret"}, {}),
        )
    ]
    assert {(answer.status, answer.body) for answer in answers} == {
        (401, b'{"status":"error","message":"the credentials are missing or wrong"}')
    }
    assert (await api.ask("GET", PATH, params={"secret": "acme-secret"})).status == 200
    assert len(receiver.hits) == 1


async def test_a_replay_sends_the_same_again(api: Api, receiver: Receiver) -> None:
    receiver.answers.append(410)
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    path = f"{PATH}/{delivery['id']}/replay"
    status, replayed = await api.post(path, {})
    assert (status, replayed["id"], replayed["task"]) == (200, delivery["id"], key)
    first, second = await receiver.got(2)
    assert (first.id, first.body) == (second.id, second.body)
    assert outcomes(await settled(api, key)) == [410, 204]
    answer = await api.ask("POST", path, json={"secret": "acme-secret"})
    assert answer.status == 200
    await receiver.got(3)
    assert outcomes(await settled(api, key)) == [410, 204, 204]
    receiver.verified()


async def test_a_delivery_that_waits_is_replayed_at_once(api: Api, receiver: Receiver) -> None:
    receiver.answers.extend([receiver.busy, receiver.busy])
    [key] = await created(api, hello(receiver))
    await receiver.got(1)
    for count in (2, 3):
        await eventually_waiting(api, key)
        await api.post(f"{PATH}/{(await delivery_of(api, key))['id']}/replay", {})
        await receiver.got(count)
    assert outcomes(await settled(api, key)) == [503, 503, 204]


async def eventually_waiting(api: Api, key: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "next_attempt" not in await delivery_of(api, key):
            pass


async def test_another_accounts_delivery_is_as_unknown_as_none(
    api: Api, receiver: Receiver
) -> None:
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    unknown = (
        404,
        {"status": "error", "message": "there is no such delivery, or it has expired"},
    )
    assert await api.post(f"{PATH}/{delivery['id']}/replay", {}, **OTHER) == unknown
    for name in ("A" * 26, key, "x", "%00"):
        assert await api.post(f"{PATH}/{name}/replay", {}) == unknown
    status, answer = await api.post(f"{PATH}/{delivery['id']}/replay", {"task": key})
    assert (status, answer["errors"][0]["name"]) == (400, "task")
    assert len(receiver.hits) == 1


async def test_deliveries_are_counted_by_outcome(api: Api, receiver: Receiver) -> None:
    before = await counts(api)
    receiver.answers.extend([500, 410])
    [key] = await created(api, hello(receiver))
    await settled(api, key)
    [key] = await created(api, hello(receiver))
    await settled(api, key)
    after = await counts(api)
    # Others may be under way.
    for outcome in ("delivered", "failed", "retried"):
        assert after[outcome] > before.get(outcome, 0)

    async def metrics_with_times() -> bytes | None:
        """Workers tell how long things took now and then."""
        body = (await api.ask("GET", "/metrics")).body
        return body if b'phase="webhook"' in body else None

    metrics = await until(metrics_with_times)
    assert metrics
    assert b'task="webhook"' not in metrics


async def counts(api: Api) -> dict[str, float]:
    metrics = await api.ask("GET", "/metrics")
    lines = [line.split() for line in metrics.body.decode().splitlines()]
    name = 'dragon_webhook_deliveries_total{outcome="'
    return {
        line[0].removeprefix(name).removesuffix('"}'): float(line[1])
        for line in lines
        if line and line[0].startswith(name)
    }
