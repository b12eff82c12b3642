"""dragon.js in a page of another origin: it tells each end once, whatever happens meanwhile."""

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route

from tests.chaos.proxy import Proxy
from tests.support.broker import Broker
from tests.support.browser import Site, count_requests, needs_chromium
from tests.support.module_page import (
    FINAL,
    HELLO,
    assert_each_ended_once,
    create,
    open_module,
    told,
)
from tests.support.processes import Dragon
from tests.support.waiting import eventually

pytestmark = [needs_chromium, pytest.mark.usefixtures("no_bugs")]


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon whose server these tests may kill."""
    with Dragon(tmp_path_factory.mktemp("restarted")) as restarted:
        yield restarted


async def test_two_hundred_tasks_end_once_each_on_one_stream(opened: Page, dragon: Dragon) -> None:
    before = requests(dragon)
    keys = await create(opened, [HELLO] * 199 + [{"task_name": "hello"}])
    await opened.evaluate("follow(created)")
    statuses = await told(opened)
    assert_each_ended_once(statuses, keys)
    results = [status["result"] for status in statuses if status["status"] == "success"]
    assert results == ["Hello John"] * 199
    [wrong] = [status for status in statuses if status["status"] == "error"]
    assert wrong["error"] == {"parameters": {"name": ["this field is required"]}}
    # A preflight for the Idempotency-Key, what creates, and one stream: logged when it has ended.
    await eventually(lambda: requests(dragon) == [before[0] + 1, before[1] + 2])


def requests(dragon: Dragon) -> list[int]:
    return [count_requests(dragon, method=method) for method in ("OPTIONS", "POST")]


async def test_a_page_that_is_loaded_again_goes_on_by_its_keys(
    opened: Page, site: Site, gated: dict[str, Any]
) -> None:
    keys = await create(opened, [HELLO, gated])
    await opened.evaluate("sessionStorage.keys = JSON.stringify(created.map(({key}) => key))")
    await opened.evaluate("follow(created)")
    await opened.wait_for_function("told.some(({status}) => status === 'success')")
    await opened.reload()
    await opened.wait_for_function("window.dragon")
    await opened.evaluate("follow(JSON.parse(sessionStorage.keys))")
    await opened.wait_for_function("told.length === 2")
    site.gate.touch()
    assert_each_ended_once(await told(opened), keys)


async def open_in_turn(
    page: Page, tmp_path: Path, disturb: Sequence[Callable[[], Awaitable[None]]]
) -> None:
    """A stream goes on through all of it: after each a task ends."""
    gates = [tmp_path / f"gate{number}" for number in range(len(disturb))]
    tasks = [{"task_name": "site.gate", "path": str(gate)} for gate in gates]
    keys = await create(page, [HELLO, *tasks, {"task_name": "site.steps", "steps": 10}])
    await page.evaluate("follow(created)")
    await page.wait_for_function("told.some(one => one.result)")
    for gate, disturb_now in zip(gates, disturb, strict=True):
        await disturb_now()
        gate.touch()
        key = keys[1 + gates.index(gate)]
        await page.wait_for_function(
            "key => told.some(one => one.key === key && one.result)", arg=key
        )
    assert_each_ended_once(await told(page), keys)


async def test_a_stream_outlives_its_connections(
    opened: Page, proxy: Proxy, tmp_path: Path
) -> None:
    async def cut() -> None:
        proxy.cut()

    await opened.evaluate("url => connect(url)", f"http://{proxy.address}")
    await open_in_turn(opened, tmp_path, [cut] * 3)
    assert proxy.accepted > 3


async def test_a_stream_outlives_its_servers(
    opened: Page, restarted: Dragon, tmp_path: Path
) -> None:
    await opened.evaluate("url => connect(url)", restarted.url)
    starts = [partial(restart, restarted, number) for number in (signal.SIGKILL, signal.SIGTERM)]
    await open_in_turn(opened, tmp_path, starts)


async def restart(dragon: Dragon, number: signal.Signals) -> None:
    count = len(dragon.events("server_started"))
    dragon.server().send_signal(number)
    await eventually(lambda: len(dragon.events("server_started")) > count)


async def test_an_event_source_outlives_its_servers(
    opened: Page, restarted: Dragon, tmp_path: Path
) -> None:
    await opened.evaluate("url => connect(url)", restarted.url)
    gates = [tmp_path / "first", tmp_path / "second"]
    tasks = [{"task_name": "site.gate", "path": str(gate)} for gate in gates]
    keys = await create(opened, [HELLO, *tasks])
    query = "&".join(f"tasks={key}" for key in keys)
    await opened.evaluate("url => listen(url)", f"{restarted.url}/v2/status_stream?{query}")
    await opened.wait_for_function("events.flat(2).some(one => one.result)")
    for count, (number, gate) in enumerate(
        zip((signal.SIGTERM, signal.SIGKILL), gates, strict=True), 2
    ):
        await restart(restarted, number)
        gate.touch()
        await opened.wait_for_function(
            f"events.flat(2).filter(one => one.result).length === {count}"
        )
    await opened.wait_for_function("source.readyState === EventSource.CLOSED")
    events = await opened.evaluate("events")
    statuses = [one for kind, data in events if kind == "message" for one in as_list(data)]
    ends = [status["key"] for status in statuses if status["status"] in FINAL]
    assert Counter(ends) == dict.fromkeys(keys, 1)
    kinds = [kind for kind, _ in events if kind != "message"]
    # More than one from a server that leaves slowly.
    assert (set(kinds[:-1]), kinds[-1:]) == ({"reconnect"}, ["end"])


def as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else [data]


async def test_a_connection_that_says_nothing_is_given_up(
    page: Page, proxy: Proxy, gated: dict[str, Any], site: Site
) -> None:
    await page.clock.install()
    await open_module(page, site)
    await page.evaluate("url => connect(url)", f"http://{proxy.address}")
    keys = await create(page, gated)
    await page.evaluate("follow(created)")
    await page.wait_for_function("told.some(({status}) => status === 'executing')")
    proxy.swallow()
    proxy.heal()
    site.gate.touch()
    await page.clock.fast_forward(45_000)
    assert_each_ended_once(await told(page), keys)


async def test_where_streams_do_not_come_through_short_answers_tell(
    page: Page, gated: dict[str, Any], site: Site
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    await page.clock.install()
    await page.route("**/status_stream*", hold)
    await open_module(page, site)
    # Between two streams that fail something is answered.
    await page.evaluate("connect('', {attempts: 2})")
    keys = await create(page, [HELLO, gated])
    await page.evaluate("follow(created)")
    await eventually(lambda: len(held) == 1)
    await page.clock.fast_forward(45_000)
    await page.wait_for_function("told.some(one => one.result)")
    await eventually(lambda: len(held) == 2)
    site.gate.touch()
    await page.clock.fast_forward(45_000)
    assert_each_ended_once(await told(page), keys)


async def test_tasks_are_created_once_though_the_answers_are_lost(
    opened: Page, proxy: Proxy, broker: Broker
) -> None:
    await opened.evaluate("url => connect(url)", f"http://{proxy.address}")
    before = await broker.count_jobs()
    proxy.replies_to_drop = 2
    keys = await create(opened, [HELLO, HELLO])
    assert proxy.replies_to_drop == 0
    assert len(set(keys)) == 2
    assert await broker.count_jobs() == before + 2


async def test_it_goes_on_as_soon_as_the_network_is_back(page: Page, site: Site) -> None:
    await page.clock.install(time=0)
    await open_module(page, site)
    # From here on no pause ends by itself.
    await page.clock.pause_at(3600)
    await page.context.set_offline(True)
    async with page.expect_event("requestfailed"):
        await page.evaluate("task => { window.asked = dragon.create(task); }", HELLO)
    async with page.expect_request("**/v2/create"):
        await page.context.set_offline(False)
    await page.clock.resume()
    assert len(await page.evaluate("asked")) == 1
