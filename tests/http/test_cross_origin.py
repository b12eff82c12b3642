"""Pages of any origin may read every answer of both versions and of /files, errors included."""

import json
import signal
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.support.accounts import SECRET
from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

PAGE = {"Origin": "https://anywhere.net"}
HELLO = {"secret": SECRET, "tasks": {"task_name": "hello", "name": "John"}}
UNKNOWN = "A" * 26
EVENTS = {"Accept": "text/event-stream"}


@pytest.mark.parametrize("version", ["/v1", "/v2"])
@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", "/create", {"json": HELLO}, 200),
        ("POST", "/create_stream", {"json": HELLO}, 200),
        ("POST", "/create", {"data": b"{"}, 400),
        ("POST", "/create", {"data": BytesIO(b"x" * 5_000_000)}, 400),
        ("POST", "/create", {"json": {"tasks": {}}}, 401),
        ("POST", "/create", {"json": HELLO | {"secret": "few-secret"}}, 200),
        ("GET", "/create", {}, 405),
        ("GET", "/nothing", {}, 404),
        ("GET", "/status", {}, 400),
        ("GET", f"/status?tasks={UNKNOWN}", {}, 404),
        ("GET", f"/status_stream?tasks={UNKNOWN}", {}, 404),
        ("GET", f"/status_stream?tasks={UNKNOWN}", {"headers": PAGE | EVENTS}, 404),
        ("GET", f"/file?task={UNKNOWN}", {}, 404),
        ("HEAD", "/status", {}, 400),
        ("GET", f"/create_file/x?task_name=hello&secret={SECRET}", {}, 400),
        ("GET", f"/create_file/x?task_name=hello&secret={SECRET}&error=image", {}, 400),
        ("OPTIONS", "/create", {}, 204),
        ("OPTIONS", "/nothing", {}, 204),
    ],
)
async def test_any_origin_may_read_both_versions(
    api: Api, version: str, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    await check_anybody_may_read(api, method, version + path, options, status)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/v2/tasks", {}, 200),
        ("GET", "/v2/tasks/nothing", {}, 404),
        ("GET", "/v2/openapi.json", {}, 200),
        ("GET", f"/v2/storage/files?secret={SECRET}", {}, 200),
        ("GET", "/v2/storage/files", {}, 401),
        ("DELETE", f"/v2/storage/files?secret={SECRET}", {}, 400),
        ("GET", f"/v2/storage/expiration?secret={SECRET}", {}, 200),
        ("GET", f"/v2/webhooks/deliveries?secret={SECRET}", {}, 200),
        ("POST", f"/v2/webhooks/deliveries/{UNKNOWN}/replay?secret={SECRET}", {}, 404),
        ("GET", "/placeholder/30x20.svg", {}, 200),
        ("GET", "/dragon.js", {}, 200),
        ("GET", f"/files/{UNKNOWN}/output.jpg", {}, 404),
        ("GET", "/files/nothing/at/all", {}, 404),
        ("POST", f"/files/{UNKNOWN}/output.jpg", {}, 405),
    ],
)
async def test_any_origin_may_read_what_else_there_is(
    api: Api, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    await check_anybody_may_read(api, method, path, options, status)


async def check_anybody_may_read(
    api: Api, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = await api.ask(method, path, **{"headers": PAGE, **options})
    assert answer.status == status
    assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
    assert answer.headers.getall("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert status < 400 or answer.headers["Cache-Control"] == "no-store"


async def test_any_origin_may_read_files(api: Api, origin: Origin) -> None:
    final = await api.run(task_name="image.thumb", url=origin.url("rocket.jpg"), width=20)
    path = final["result"]["output"].removeprefix(api.url)
    whole = await api.ask("GET", path, headers=PAGE)
    answers = {
        200: whole,
        206: await api.ask("GET", path, headers=PAGE | {"Range": "bytes=0-9"}),
        302: await api.ask("GET", f"/v1/file?task={final['key']}", headers=PAGE),
        304: await api.ask("GET", path, headers=PAGE | {"If-None-Match": whole.headers["ETag"]}),
        416: await api.ask("GET", path, headers=PAGE | {"Range": "bytes=9999999-"}),
    }
    for status, answer in answers.items():
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/create"),
        ("POST", "/v2/create"),
        ("POST", "/v1/status_stream"),
        ("GET", "/v2/status_stream"),
        ("DELETE", "/v2/storage/files/2026-11-21"),
        ("GET", "/files/x/y"),
    ],
)
async def test_a_preflight_allows_what_pages_send(api: Api, method: str, path: str) -> None:
    asked = PAGE | {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await api.ask("OPTIONS", path, headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    wanted = {"authorization", "content-type", "idempotency-key", "last-event-id"}
    assert wanted <= set(allowed.split(", "))
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("path", ["/v1/create", "/v2/create"])
async def test_json_may_be_posted_as_plain_text_to_avoid_a_preflight(api: Api, path: str) -> None:
    for content_type in ("text/plain", "text/plain;charset=UTF-8", "application/octet-stream"):
        answer = await api.ask(
            "POST",
            path,
            data=json.dumps(HELLO).encode(),
            headers=PAGE | {"Content-Type": content_type},
        )
        assert answer.status == 200


async def test_any_origin_may_read_that_the_store_is_away(tmp_path: Path) -> None:
    with Dragon(tmp_path, DRAGON_REDIS_TIMEOUT_SECONDS="1") as dragon:
        valkey = next(process for process in dragon.family() if "valkey" in process.name())
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
        ) as session:
            await _check_unavailable(session, dragon.url, valkey)


async def _check_unavailable(
    session: aiohttp.ClientSession, url: str, valkey: psutil.Process
) -> None:
    valkey.send_signal(signal.SIGSTOP)
    try:
        for path in ("/v1/create", "/v2/create_stream"):
            async with session.post(url + path, json=HELLO, headers=PAGE) as response:
                assert response.status == 503
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert int(response.headers["Retry-After"]) >= 1
                assert (await response.json()).keys() == {"status", "message"}
    finally:
        valkey.send_signal(signal.SIGCONT)
