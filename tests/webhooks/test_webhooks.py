"""Web hooks: one POST of how a task ended, signed, and repeated until it is taken."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from email.utils import formatdate
from typing import Any

import msgspec
from aiohttp import web
from yarl import URL

from dragon.engine.network.webhooks import MAX_RETRY_AFTER_SECONDS, Answer, WebHooks
from dragon.schemas import HookParams
from dragon.settings import Settings
from dragon.store.store import Store
from tests.support.accounts import WEBHOOK_TRIES
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.fetching import Canary, Handler, serving
from tests.support.gate import Gate
from tests.support.hooking import created, hello, outcomes, settled, waiting_seconds
from tests.support.jobs import submission
from tests.support.receivers import Receiver, receiving
from tests.support.waiting import DEADLINE_SECONDS, until

OTHER = {"Authorization": "Secret other-secret"}


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


async def status_bytes(api: Api, key: str) -> bytes:
    """A task's status as the second version tells it, alone in its list."""
    answer = await api.ask("GET", f"/v2/status?tasks={key}")
    assert answer.body[:1] + answer.body[-1:] == b"[]"
    return answer.body[1:-1]


async def test_a_success_is_told_byte_for_byte_as_status_tells_it(
    api: Api, receiver: Receiver
) -> None:
    [key] = await created(api, hello(receiver, url_errback=None))
    delivery = await settled(api, key)
    [hit] = receiver.hits
    assert hit.body == await status_bytes(api, key)
    assert json.loads(hit.body)["result"] == "Hello John"
    assert hit.headers["content-type"] == "application/json"
    assert hit.headers["user-agent"].startswith("Dragon/")
    assert hit.id == delivery["id"]
    assert (delivery["task"], delivery["event"]) == (key, "success")
    assert (delivery["state"], delivery["url"]) == ("delivered", receiver.url)
    [attempt] = delivery["attempts"]
    assert attempt["status"] == 204
    # By two clocks, which may differ a little, more where the machine held up who compared them.
    assert seconds_between(delivery["created"], attempt["at"]) > -5
    assert attempt["seconds"] >= 0


async def test_a_failure_is_told_to_the_other_address(api: Api, receiver: Receiver) -> None:
    good = {"task_name": "hello", "name": "John", "url_errback": receiver.url}
    bad = {"task_name": "site.fail", "url_errback": receiver.url}
    quiet = {"task_name": "site.fail", "url_callback": receiver.url}
    succeeded, failed, silent = await created(api, good, bad, quiet)
    await settled(api, failed)
    [hit] = receiver.hits
    assert hit.body == await status_bytes(api, failed)
    assert json.loads(hit.body)["error"] == "it cannot be done"
    none: dict[str, Any] = {"deliveries": [], "next": None}
    for key in (succeeded, silent):
        await api.get(f"/v2/status?tasks={key}&block=true")
        assert await api.get(f"/v2/webhooks/deliveries?task={key}") == (200, none)


async def test_each_secret_of_the_account_signs_each_request(api: Api, receiver: Receiver) -> None:
    receiver.answers.extend([500])
    [key] = await created(api, hello(receiver))
    await settled(api, key)
    assert [told["key"] for told in receiver.verified()] == [key, key]
    assert all(hit.headers["webhook-signature"].count("v1,") == 2 for hit in receiver.hits)
    assert len({hit.id for hit in receiver.hits}) == 1


async def test_an_account_without_secrets_signs_nothing(api: Api, receiver: Receiver) -> None:
    [key] = await created(api, hello(receiver), **OTHER)
    await settled(api, key, **OTHER)
    [hit] = receiver.hits
    assert "webhook-signature" not in hit.headers
    assert hit.headers["webhook-timestamp"].isdigit()


async def test_wrong_parameters_are_told_where_the_errback_is_right(
    api: Api, receiver: Receiver
) -> None:
    [key] = await created(api, hello(receiver, name=7))
    await settled(api, key)
    [hit] = receiver.hits
    assert hit.body == await status_bytes(api, key)
    assert json.loads(hit.body)["error"] == {
        "parameters": {"name": ["expected a string, got an integer"]}
    }
    [wrong] = await created(api, hello(receiver, url_errback="mailto:me"))
    status, page = await api.get(f"/v2/webhooks/deliveries?task={wrong}")
    assert (status, page["deliveries"]) == (200, [])


async def test_wrong_parameters_of_a_url_are_told_too(api: Api, receiver: Receiver) -> None:
    query = {"task_name": "site.text", "url_errback": receiver.url, "api_key": "acme-api-key"}
    page = {"Referer": "https://example.com/"}
    answer = await api.ask("GET", "/v2/create_file/a.txt", params=query, headers=page)
    assert answer.status == 400
    [hit] = await receiver.got(1)
    assert hit.body == await status_bytes(api, answer.json["key"])


async def test_a_cancelled_task_is_told(api: Api, receiver: Receiver, gate: Gate) -> None:
    keys = await created(api, {**gate.task("site.heavy_gate"), "url_errback": receiver.url})
    await gate.runs(1)
    await api.post("/v2/cancel", {"tasks": keys})
    await settled(api, keys[0])
    [hit] = receiver.hits
    assert hit.body == await status_bytes(api, keys[0])
    assert json.loads(hit.body)["error"] == "cancelled"


async def test_a_child_is_told_only_if_it_is_given_an_address_of_its_own(
    api: Api, receiver: Receiver
) -> None:
    told = {"task_name": "hello", "name": "Jane", "url_callback": receiver.url}
    family = {
        "task_name": "site.parent",
        "children": [told, {"task_name": "hello", "name": "John"}],
        "url_callback": receiver.url,
    }
    [parent] = await created(api, family)
    await settled(api, parent)
    hits = await receiver.got(2)
    results = {json.loads(hit.body)["key"]: json.loads(hit.body)["result"] for hit in hits}
    assert len(results.pop(parent)) == 2
    assert [*results.values()] == ["Hello Jane"]


async def test_2xx_alone_is_taken_for_success(api: Api) -> None:
    good = [200, 201, 202, 206, 299]
    bad = [300, 301, 302, 303, 304, 307, 308, 400, 401, 404, 418, 429, 500, 503, 599]
    got = await asyncio.gather(*(tried(api, status) for status in (*good, *bad)))
    assert got == [[status] for status in good] + [[status, 204] for status in bad]


async def tried(api: Api, *answers: Handler | int) -> Sequence[Any]:
    """The outcomes of all tries at a receiver of its own that answers so."""
    async with receiving() as receiver:
        receiver.answers.extend(answers)
        [key] = await created(api, hello(receiver))
        return outcomes(await settled(api, key))


async def test_a_redirect_is_not_followed(api: Api, receiver: Receiver, canary: Canary) -> None:
    async def redirect(_: web.Request) -> web.Response:
        to = f"http://127.0.0.1:{canary.port}/"
        return web.Response(status=307, headers={"Location": to})

    receiver.answers.extend([redirect] * WEBHOOK_TRIES)
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    assert (delivery["state"], outcomes(delivery)) == ("failed", [307] * WEBHOOK_TRIES)
    assert delivery["attempts"][0]["error"] == (
        "the receiver answered 307 Temporary Redirect, and redirects are not followed"
    )
    assert not canary.was_touched


async def test_what_is_never_taken_is_tried_so_often_and_the_task_stays_as_it_is(
    api: Api, receiver: Receiver
) -> None:
    receiver.answers.extend([500] * 10)
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    assert (delivery["state"], outcomes(delivery)) == ("failed", [500] * WEBHOOK_TRIES)
    assert len(receiver.hits) == WEBHOOK_TRIES
    assert json.loads(await status_bytes(api, key))["status"] == "success"


async def test_gone_ends_it_for_good(api: Api, receiver: Receiver) -> None:
    receiver.answers.append(410)
    [key] = await created(api, hello(receiver))
    delivery = await settled(api, key)
    assert (delivery["state"], outcomes(delivery)) == ("failed", [410])
    assert len(receiver.hits) == 1


async def test_a_lost_connection_is_tried_again(api: Api, receiver: Receiver) -> None:
    receiver.answers.append(receiver.reset)
    [key] = await created(api, hello(receiver))
    assert outcomes(await settled(api, key)) == ["the connection to the server was lost", 204]


async def test_a_receiver_that_keeps_silent_is_left_and_asked_again(
    store: Store, receiver: Receiver
) -> None:
    params = HookParams(task="A" * 26, event="success", url=receiver.url)
    [plain] = submission(store).jobs
    job = msgspec.structs.replace(plain, params=msgspec.Raw(msgspec.json.encode(params)))
    receiver.answers.append(receiver.hold)
    settings = Settings(fetch_allow=("127.0.0.1",), webhook_timeout_seconds=0.2)
    async with WebHooks(settings, store.clock) as hooks:
        answer = await hooks.send(job, b"{}")
    words = "there was no answer within 0.2 seconds (setting webhook_timeout_seconds)"
    assert answer == Answer(error=words, is_over=False)


async def test_retry_after_is_honoured_whatever_else_is_answered(
    api: Api, receiver: Receiver
) -> None:
    statuses = (302, 400, 413, 429, 500, 502, 503, 503, 503)
    receiver.answers.extend(told_to_wait(status, "3600") for status in statuses)
    keys = await created(api, *[hello(receiver)] * len(statuses))
    waits = [await waiting_seconds(api, key) for key in keys]
    assert min(waits) > 3599
    # What a request takes comes on top of it.
    assert max(waits) < 3600 * 1.1 + DEADLINE_SECONDS
    # Those that were asked at the same moment do not come back at the same moment.
    assert max(waits) - min(waits) > 20
    assert len(receiver.hits) == len(statuses)


async def test_retry_after_may_be_a_date_and_is_a_day_at_most(api: Api, receiver: Receiver) -> None:
    receiver.answers.append(told_to_wait(503, "Fri, 31 Dec 9999 23:59:59 GMT"))
    [key] = await created(api, hello(receiver))
    left = await waiting_seconds(api, key)
    assert MAX_RETRY_AFTER_SECONDS <= left < MAX_RETRY_AFTER_SECONDS * 1.1 + DEADLINE_SECONDS


async def test_a_retry_after_that_makes_no_sense_changes_nothing(api: Api) -> None:
    afters = ("soon", "-5", "", "1e9", "0", formatdate(0, usegmt=True), "٣٦٠٠", "Fri, 99 Dec 2030")
    got = await asyncio.gather(*(tried(api, told_to_wait(503, after)) for after in afters))
    assert got == [[503, 204]] * len(afters)


def told_to_wait(status: int, after: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": after})

    return answer


async def test_an_endless_answer_is_not_read(api: Api) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
                sent += 65536
        finally:
            ended.set()

    ended = asyncio.Event()
    async with serving(answer) as url:
        [key] = await created(api, {"task_name": "hello", "name": "a", "url_callback": url})
        assert outcomes(await settled(api, key)) == [200]
        await asyncio.wait_for(ended.wait(), DEADLINE_SECONDS)
    assert sent < 16 * 1024 * 1024


async def test_a_slow_receiver_holds_up_neither_tasks_nor_other_deliveries(
    api: Api, receiver: Receiver, broker: Broker
) -> None:
    receiver.answers.extend([receiver.hold] * 50)
    slow = await created(api, *[hello(receiver)] * 50)
    # It gets 25 at once; what is more waits for those.
    await until(
        lambda: broker.client.hget("dragon:{0}:parked", f"acme {URL(receiver.url).authority}")
    )
    assert await tried(api, 200) == [200]
    receiver.is_open.set()
    for key in slow:
        await settled(api, key)
