"""What else dragon.js does, and what it says when it cannot."""

import asyncio
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable
from playwright.async_api import Page, Route

from tests.chaos.proxy import Proxy
from tests.streams.test_streams import until_waiting
from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.browser import UNLISTED, Site, needs_chromium
from tests.support.module_page import HELLO, assert_each_ended_once, create, open_module, told
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

pytestmark = [needs_chromium, pytest.mark.usefixtures("no_bugs")]


async def test_what_the_server_refuses_is_an_error_in_its_words(opened: Page, site: Site) -> None:
    async def failure(script: str) -> Any:
        return await opened.evaluate(f"failure({script})")

    wrong = {"name": "DragonError", "status": 401, "words": "the credentials are missing or wrong"}
    hello = '{task_name: "hello", name: "John"}'
    assert await failure(f"new Dragon({{...dragon}}).create({hello})") == wrong
    assert await failure(f"new Dragon({{apiKey: 'no'}}).cancel(['{'A' * 26}'])") == wrong
    unknown = await failure('dragon.create({task_name: "no"})')
    assert (unknown["name"], unknown["status"]) == ("DragonError", 400)
    assert "no" in unknown["words"]
    words = f"task '{'A' * 26}' is unknown or has expired"
    for asked in ("status", "cancel"):
        gone = await failure(f"dragon.{asked}('{'A' * 26}')")
        assert gone == {"name": "DragonError", "status": 404, "words": words}
    missing = await failure("dragon.status([])")
    assert missing == {"name": "DragonError", "status": 400, "words": "tasks is missing"}
    away = await failure(f"new Dragon({{url: 'http://127.0.0.1:1', attempts: 2}}).create({hello})")
    assert (away["name"], away["status"]) == ("DragonError", 0)
    assert away["words"].startswith("cannot reach http://127.0.0.1:1: ")

    await open_module(opened, site, UNLISTED)
    not_listed = await failure(f"dragon.create({hello})")
    assert not_listed["words"] == "this page is not on the list of referrers of the api key"


async def test_a_task_that_is_gone_does_not_hide_how_the_others_end(
    opened: Page, gated: dict[str, Any], site: Site
) -> None:
    keys = await create(opened, [HELLO, gated])
    gone = "A" * 26
    await opened.evaluate("keys => follow(keys)", [gone, *keys])
    await opened.wait_for_function("told.some(({status}) => status === 'executing')")
    site.gate.touch()
    statuses = await told(opened)
    assert_each_ended_once(statuses, [gone, *keys])
    [told_of_it] = [status for status in statuses if status["key"] == gone]
    assert told_of_it["error"] == f"task '{gone}' is unknown or has expired"
    for moment in ("queued", "completed"):
        assert datetime.fromisoformat(told_of_it["events"][moment])


async def test_what_stands_before_the_server_may_ask_for_patience(opened: Page) -> None:
    async def refuse(route: Route) -> None:
        headers = {"Retry-After": "1", "Access-Control-Expose-Headers": "Retry-After"}
        headers["Access-Control-Allow-Origin"] = "*"
        await route.fulfill(status=429, headers=headers, body="<p>Too many requests")

    await opened.route("**/v2/create", refuse, times=1)
    began = await opened.evaluate("performance.now()")
    assert len(await create(opened, HELLO)) == 1
    assert await opened.evaluate("performance.now()") - began > 1_000


async def test_what_stands_before_the_server_may_refuse_in_a_form_of_its_own(opened: Page) -> None:
    bodies = ["<p>No entry", "null", "7", '{"errors": {"name": "wrong"}}', '{"errors": [null]}']

    async def refuse(route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": "*"}
        await route.fulfill(status=403, headers=headers, body=bodies.pop())

    await opened.route("**/v2/status", refuse)
    refused = {"name": "DragonError", "status": 403, "words": "the server answered 403"}
    while bodies:
        assert await opened.evaluate("failure(dragon.status('A'))") == refused


async def test_it_says_that_nobody_said_anything(page: Page, site: Site) -> None:
    await page.clock.install()
    await page.route("**/v2/status", lambda _: None)
    await open_module(page, site)
    async with page.expect_request("**/v2/status"):
        await page.evaluate("window.said = failure(new Dragon({attempts: 1}).status('A')); 0")
    await page.clock.fast_forward(45_000)
    words = "no word came for 45 seconds"
    assert await page.evaluate("said") == {"name": "DragonError", "status": 0, "words": words}


async def test_an_img_tag_shows_a_file_that_is_still_to_be_made(
    opened: Page, origin: Origin
) -> None:
    thumb = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "width": 60}
    await create(opened, thumb)
    width = await opened.evaluate(
        """async () => {
            const image = new Image();
            image.src = dragon.fileURL(created[0], "a picture?.jpg");
            await image.decode();
            return image.naturalWidth;
        }"""
    )
    assert width == 60


async def test_a_cancelled_task_is_told_to_who_follows_it(
    opened: Page, gated: dict[str, Any]
) -> None:
    keys = await create(opened, gated)
    await opened.evaluate("follow(created)")
    await opened.wait_for_function("told.length")
    [cancelled] = await opened.evaluate("dragon.cancel(created)")
    assert (cancelled["status"], cancelled["error"]) == ("error", "cancelled")
    statuses = await told(opened)
    assert statuses[-1] == cancelled
    assert_each_ended_once(statuses, keys)


async def test_who_stops_to_follow_leaves_no_stream_behind(
    opened: Page, api: Api, gated: dict[str, Any]
) -> None:
    await until_waiting(api, 0)
    await create(opened, gated)
    await opened.evaluate(
        """() => {
            window.controller = new AbortController();
            follow(created, controller);
            window.left = (async () => {
                for await (const status of dragon.follow(created)) if (window.isOver) break;
            })();
        }"""
    )
    await until_waiting(api, 2)
    reason = await opened.evaluate("controller.abort(new Error('enough')), failure(all)")
    assert reason == {"name": "Error", "status": None, "words": "enough"}
    await until_waiting(api, 1)
    await opened.evaluate("window.isOver = true; dragon.cancel(created)")
    await opened.evaluate("left")
    assert await opened.evaluate("unhandled") == []
    await until_waiting(api, 0)


async def test_the_types_name_what_the_module_has(opened: Page, dragon: Dragon) -> None:
    types = (ROOT / "dragon/web/dragon.d.ts").read_text()
    methods = re.findall(r"^  (\w+)\(", types.partition("class Dragon {")[2], re.MULTILINE)
    classes = re.findall(r"^export class (\w+)", types, re.MULTILINE)
    exported = await opened.evaluate(
        "async url => Object.keys(await import(url)).sort()", f"{dragon.url}/dragon.js"
    )
    assert exported == sorted(classes)
    assert await opened.evaluate("Object.getOwnPropertyNames(Dragon.prototype)") == methods
    fields = re.findall(r"^  readonly (\w+):", types, re.MULTILINE)
    own = await opened.evaluate("Object.keys(new DragonError('x'))")
    assert set(own) - {"name"} == set(fields)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("dragon.js", "text/javascript; charset=utf-8"),
        ("dragon.d.ts", "application/typescript; charset=utf-8"),
    ],
)
async def test_any_page_may_import_it(api: Api, name: str, content_type: str) -> None:
    answer = await api.ask("GET", f"/{name}", headers={"Origin": "https://anywhere.net"})
    assert answer.status == 200
    assert answer.body == (ROOT / "dragon/web" / name).read_bytes()
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert (await api.ask("GET", f"/static/{name}")).status == 404


async def test_it_runs_in_node_as_well(
    api: Api, dragon: Dragon, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "dragon.mjs").write_bytes((await api.ask("GET", "/dragon.js")).body)
    (tmp_path / "program.mjs").write_text(PROGRAM)
    node, _ = compute_driver_executable()
    proxy.replies_to_drop = 1
    program = await asyncio.create_subprocess_exec(
        node,
        str(tmp_path / "program.mjs"),
        f"http://{proxy.address}/",
        SECRET,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_SECONDS):
        output, _ = await program.communicate()
    assert program.returncode == 0
    assert output.decode().split("\n") == ["Hello John", "Hello Jane", "401", ""]


PROGRAM = """
import { Dragon, DragonError } from "./dragon.mjs";

const [url, secret] = process.argv.slice(2);
const dragon = new Dragon({ url, secret });
const created = await dragon.create(
  ["John", "Jane"].map((name) => ({ task_name: "hello", name })),
);
const results = {};
for await (const { key, result } of dragon.follow(created)) results[key] = result;
for (const { key } of created) console.log(results[key]);
for await (const status of dragon.follow(created.map(({ key }) => key))) break;
try {
  await new Dragon({ url, secret: "no" }).create({ task_name: "hello", name: "John" });
} catch (error) {
  if (error instanceof DragonError) console.log(error.status);
}
"""
