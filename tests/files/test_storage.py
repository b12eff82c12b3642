"""What an account is told of its stored files, and for how long it has them kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dragon.store.store import Store
from tests.support.accounts import PAGE
from tests.support.api import Api
from tests.support.keeper import Keeper, key_of
from tests.support.processes import Dragon
from tests.support.waiting import until
from tests.support.wire import send_raw


async def test_files_are_found_on_the_way_down_and_all_at_once(keeper: Keeper) -> None:
    urls = await keeper.make("one", "three")
    keys = sorted(map(key_of, urls))
    root = await keeper.look()
    [day] = root["directories"]
    # It may have ended just now.
    assert day in [f"{datetime.now(UTC).date() - timedelta(days)}/" for days in (0, 1)]
    assert (root["files"], root["usage"]) == ([], 8)
    below = await keeper.look(day)
    assert below == {"files": [], "directories": [f"{key}/" for key in keys], "usage": 8}
    assert (await keeper.look(day + keys[0]))["directories"] == ["1/"]
    leaf = await keeper.look(f"{day}{key_of(urls[0])}/1")
    [file] = leaf["files"]
    assert (file["name"], file["size"], leaf["directories"]) == ("output.txt", 3, [])
    assert await keeper.names() == [f"{day}{key}/1/output.txt" for key in keys]
    assert await keeper.names(day) == [f"{key}/1/output.txt" for key in keys]


async def test_a_file_was_modified_when_its_task_ended(keeper: Keeper) -> None:
    # Two clocks may differ a little, more where the machine held up who compared them.
    doubt = timedelta(seconds=5)
    before = datetime.now(UTC) - doubt
    await keeper.make("one")
    [file] = (await keeper.look(recursive="yes"))["files"]
    moment = datetime.fromisoformat(file["last_modified"])
    assert before < moment < datetime.now(UTC) + doubt
    assert file["last_modified"].endswith("+00:00")
    assert len(file["last_modified"]) == len("2026-11-21T09:26:50.616278+00:00")


async def test_the_path_of_a_file_lists_that_file(keeper: Keeper) -> None:
    await keeper.make("one", "two")
    [path, _] = await keeper.names()
    listing = await keeper.look(path)
    assert [file["name"] for file in listing["files"]] == ["output.txt"]
    assert listing["directories"] == []


@pytest.mark.parametrize("path", ["2020-01-01", "no/such/path/at/all", "2026", "é", "x" * 500])
async def test_what_is_unknown_is_empty(keeper: Keeper, path: str) -> None:
    await keeper.make("one")
    assert await keeper.look(path) == {"files": [], "directories": [], "usage": 3}
    assert await keeper.delete(path) == {"deleted": 0, "freed": 0, "usage": 3}


@pytest.mark.parametrize("is_recursive", [False, True])
async def test_a_long_list_comes_in_pages(keeper: Keeper, is_recursive: bool) -> None:
    await keeper.make(*map(str, range(7)))
    [day] = (await keeper.look())["directories"]
    options: dict[str, Any] = {"recursive": str(is_recursive).lower(), "limit": "3"}
    kind = "files" if is_recursive else "directories"
    pages = [await keeper.look(day, **options)]
    while after := pages[-1].get("next"):
        pages.append(await keeper.look(day, after=after, **options))
    assert [len(page[kind]) for page in pages] == [3, 3, 1]
    whole = await keeper.look(day, recursive=options["recursive"])
    assert [one for page in pages for one in page[kind]] == whole[kind]
    assert "next" not in whole


ESCAPING = [
    "..", "2026/../2025", "2026//x", "/2026", "./x", "a/.", "%2e%2e/x", "a%2F..%2Fb",
    "a%00b", "a%0D%0Ab", "%0A",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ESCAPING)
async def test_a_path_that_escapes_is_refused(keeper: Keeper, method: str, path: str) -> None:
    request = (
        f"{method} /v2/storage/files/{path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {keeper.headers['Authorization']}\r\nConnection: close\r\n\r\n"
    )
    answer = await send_raw(keeper.api.url, request.encode())
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"name":"path","location":"path"' in answer


async def test_accounts_see_only_their_own(keeper: Keeper, api: Api) -> None:
    [url] = await keeper.make("one")
    [path] = await keeper.names()
    status, others = await api.get("/v2/storage/files/" + path)
    assert (status, others["files"]) == (200, [])
    for body in ({"urls": url}, {"urls": url.replace("keeper", "acme")}):
        answer = await api.ask("DELETE", "/v2/storage/files", json=body, headers=api.headers)
        assert answer.json["deleted"] == 0
    answer = await api.ask("DELETE", "/v2/storage/files/" + path, headers=api.headers)
    assert answer.json["deleted"] == 0
    assert (await keeper.get(url)).status == 200


METHODS = [
    ("GET", "/files"), ("GET", "/files/"), ("GET", "/files/x"), ("DELETE", "/files"),
    ("DELETE", "/files/x"), ("GET", "/expiration"), ("POST", "/expiration"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), METHODS)
async def test_only_the_secret_opens_the_storage(api: Api, method: str, path: str) -> None:
    answers = [
        await api.ask(method, "/v2/storage" + path, headers=headers)
        for headers in (
            {},
            {"Authorization": "Secret wrong"},
            {"Authorization": "Api-Key keeper-api-key", "Referer": PAGE},
        )
    ]
    assert {answer.status for answer in answers} == {401}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].headers["Access-Control-Allow-Origin"] == "*"


async def test_an_account_says_how_long_its_files_are_kept(keeper: Keeper) -> None:
    for days in (3, 0, 30):
        answer = await keeper.ask("POST", "/expiration", json={"days": days})
        assert (answer.status, answer.json) == (200, {"days": days, "set_by": "account"})
        assert (await keeper.ask("GET", "/expiration")).json == answer.json
    assert (await keeper.ask("POST", "/expiration?days=7")).json["days"] == 7


async def test_who_has_said_nothing_is_told_what_the_settings_say(api: Api) -> None:
    status, answer = await api.get("/v2/storage/expiration")
    assert (status, answer) == (200, {"days": 30, "set_by": "settings"})


@pytest.mark.parametrize("days", [-1, 1.5, "3", True, None, [1], 36_526, 10**18])
async def test_days_are_a_whole_number(keeper: Keeper, days: object) -> None:
    before = (await keeper.ask("GET", "/expiration")).json
    assert await keeper.problems("POST", "/expiration", json={"days": days}) == [("days", "body")]
    assert (await keeper.ask("GET", "/expiration")).json == before


async def test_days_are_needed(keeper: Keeper) -> None:
    assert await keeper.problems("POST", "/expiration") == [("days", "body")]
    assert await keeper.problems("POST", "/expiration", json={"day": 1}) == [
        ("days", "body"), ("day", "body")
    ]  # fmt: skip
    assert await keeper.problems("GET", "/expiration?x=1") == [("x", "query")]


async def test_files_go_by_themselves_when_their_time_is_over(
    keeper: Keeper, api: Api, dragon: Dragon
) -> None:
    await keeper.ask("POST", "/expiration", json={"days": 0})
    old, new = await keeper.make("old", "new")
    kept = await keeper.get(old)
    assert (kept.status, kept.headers["Cache-Control"]) == (
        200,
        "public, max-age=31536000, immutable",
    )
    async with Store(dragon.settings()) as store:
        two_days_ago = int((store.clock.now() - 2 * 86_400) * 1000)
        await store.client.hset(store.keys.job(key_of(old)), "since", str(two_days_ago))
    await keeper.ask("POST", "/expiration", json={"days": 1})

    async def is_gone() -> bool:
        status, _ = await api.get("/v2/status?tasks=" + key_of(old))
        return status == 404

    await until(is_gone)
    assert (await keeper.get(old)).status == 404
    answer = await keeper.get(new)
    assert answer.headers["Cache-Control"].startswith("public, max-age=863")
    assert await keeper.look(recursive="true") | {"files": []} == {
        "files": [], "directories": [], "usage": 3
    }  # fmt: skip
