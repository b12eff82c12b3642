"""What an account does with its stored files, through the API of a real Dragon."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dragon.store.store import Store
from tests.support.accounts import PAGE
from tests.support.api import Answer, Api
from tests.support.keeper import Keeper, key_of
from tests.support.processes import Dragon
from tests.support.waiting import until
from tests.support.wire import send_raw


@pytest_asyncio.fixture
async def keeper(api: Api) -> AsyncIterator[Keeper]:
    """Of an account that has nothing stored yet."""
    keeper = Keeper(api)
    await keeper.delete(max_age=0)
    yield keeper


async def get(api: Api, url: str) -> Answer:
    return await api.ask("GET", url.removeprefix(api.url))


# Listing.


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
    before = datetime.now(UTC) - timedelta(seconds=1)
    await keeper.make("one")
    [file] = (await keeper.look(recursive="yes"))["files"]
    moment = datetime.fromisoformat(file["last_modified"])
    assert before < moment < datetime.now(UTC) + timedelta(seconds=1)
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
    assert (await get(api, url)).status == 200


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


# Deleting.


async def test_a_deleted_file_is_served_no_more_and_its_tasks_status_stays(
    keeper: Keeper, api: Api, dragon: Dragon
) -> None:
    one, other = await keeper.make("one", "other")
    assert (await get(api, one)).body == b"one"
    [path] = [path for path in await keeper.names() if key_of(one) in path]
    assert (dragon.data / "files" / "keeper" / path).is_file()
    assert await keeper.delete(path) == {"deleted": 1, "freed": 3, "usage": 5}
    assert not (dragon.data / "files" / "keeper" / path).exists()
    assert (await get(api, one)).status == 404
    assert (await get(api, other)).status == 200
    assert await keeper.delete(path) == {"deleted": 0, "freed": 0, "usage": 5}
    status, [final] = await api.get("/v2/status?tasks=" + key_of(one))
    assert (status, final["status"]) == (200, "success")
    for version in ("/v1", "/v2"):
        answer = await api.ask("GET", f"{version}/file/x?task={key_of(one)}")
        assert (answer.status, answer.json["message"]) == (404, "the file 'output' was deleted")


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_directory_is_deleted_with_all_below_it(keeper: Keeper, depth: int) -> None:
    await keeper.make("one", "two")
    path = (await keeper.names())[0]
    folder = "/".join(path.split("/")[:depth])
    count = 2 if depth == 1 else 1
    dry = await keeper.delete(folder + "/", dry_run=True)
    assert dry == {"deleted": count, "freed": 3 * count, "usage": 6}
    assert len(await keeper.names()) == 2
    assert await keeper.delete(folder) == dry | {"usage": 6 - 3 * count}
    assert len(await keeper.names()) == 2 - count


async def test_part_of_a_name_is_no_directory(keeper: Keeper) -> None:
    await keeper.make("one")
    [path] = await keeper.names()
    for part in (path[:5], path[:20], path[:-1]):
        assert (await keeper.delete(part))["deleted"] == 0


async def test_files_are_deleted_by_any_url_that_clients_have(keeper: Keeper) -> None:
    urls = await keeper.make(*"abcdef")
    keys = [key_of(url) for url in urls]
    paths = {path.split("/")[1]: path for path in await keeper.names()}
    forms = [
        urls[0],
        f"https://cdn.example.com/files/{keys[1]}/output.txt",
        f"/files/{keys[2]}/output.txt",
        f"https://bucket.example.com/pre/fix/keeper/{paths[keys[3]]}?X-Signature=1",
        f"dragon:{keys[4]}/output.txt",
    ]
    assert (await keeper.delete(urls=forms[0]))["deleted"] == 1
    assert (await keeper.delete(urls=forms))["deleted"] == 4
    assert await keeper.names() == [paths[keys[5]]]
    answer = await keeper.ask("DELETE", "/files", params=[("urls", url) for url in urls])
    assert answer.json == {"deleted": 1, "freed": 1, "usage": 0}


async def test_urls_that_name_none_of_its_files_delete_nothing(keeper: Keeper) -> None:
    [url] = await keeper.make("one")
    [path] = await keeper.names()
    strange = [
        url.replace("output.txt", "other.txt"),
        url.replace(key_of(url), "A" * 26),
        f"https://bucket.example.com/other/{path}",
        f"https://bucket.example.com/keeper/{path.replace('/1/', '/2/')}",
    ]
    assert (await keeper.delete(urls=strange))["deleted"] == 0
    assert (await keeper.delete(urls=[]))["deleted"] == 0
    assert (await keeper.delete("2020-01-01", urls=[url]))["deleted"] == 0
    assert await keeper.names() == [path]


async def test_files_are_deleted_by_the_time_of_their_making(keeper: Keeper) -> None:
    for text in "abc":
        await keeper.make(text)
    listed = (await keeper.look(recursive="true"))["files"]
    first, second, third = sorted(file["last_modified"] for file in listed)
    for dates, count in (
        ({"to": "2020-01-01"}, 0),
        ({"from": first, "to": second}, 2),
        ({"from": second, "to": second}, 1),
        ({"from": second.replace("+00:00", "")}, 2),
        ({"from": second.replace("+00:00", "Z"), "max_age": 0}, 2),
        ({"max_age": 1}, 0),
        ({"max_age": 0}, 3),
    ):
        assert (await keeper.delete(dry_run=True, **dates))["deleted"] == count
    answer = await keeper.ask("DELETE", "/files", params={"from": second, "to": second})
    assert answer.json["deleted"] == 1
    assert (await keeper.delete(**{"from": first, "to": third}))["deleted"] == 2


async def test_to_delete_all_takes_a_word(keeper: Keeper) -> None:
    await keeper.make("one")
    for path in ("/files", "/files/"):
        assert await keeper.problems("DELETE", path) == [("path", "path")]
        assert await keeper.problems("DELETE", path, json={"dry_run": False}) == [("path", "path")]
        dry = await keeper.ask("DELETE", path, params={"dry_run": "true"})
        assert dry.json == {"deleted": 1, "freed": 3, "usage": 3}
    assert (await keeper.delete(max_age=0))["deleted"] == 1


async def test_all_problems_of_a_request_are_told_and_nothing_is_deleted(keeper: Keeper) -> None:
    await keeper.make("one")
    body = {
        "urls": ["no url", 1], "from": "yesterday", "to": 5, "max_age": -1, "dry_run": "true",
        "dryrun": True,
    }  # fmt: skip
    wrong = await keeper.problems("DELETE", "/files/..%2F", json=body)
    assert sorted(wrong) == sorted([("path", "path"), *((name, "body") for name in body)])
    query = {"urls": "x", "from": "2026-13-01", "max_age": "1e9", "dry_run": "2", "all": "1"}
    wrong = await keeper.problems("DELETE", "/files", params=query)
    assert sorted(wrong) == sorted((name, "query") for name in query)
    for name, value in (("urls", None), ("from", ""), ("to", "nope"), ("max_age", -1)):
        body = {name: value}
        assert await keeper.problems("DELETE", "/files", json=body) == [(name, "body")]
    swapped = {"from": "2026-11-22", "to": "2026-11-21"}
    assert await keeper.problems("DELETE", "/files", json=swapped) == [("from", "body")]
    twice = await keeper.problems("DELETE", "/files?dry_run=true", json={"dry_run": False})
    assert ("dry_run", "body") in twice
    wrong = await keeper.problems("GET", "/files?limit=0&recursive=maybe&after=a//b&recursiv=1")
    assert [name for name, _ in wrong] == ["after", "recursive", "limit", "recursiv"]
    huge = {"max_age": 10**18, "from": "0001-01-01T00:00:00+14:00"}
    assert await keeper.problems("DELETE", "/files", json=huge) == [("max_age", "body")]
    assert len(await keeper.names()) == 1


async def test_of_two_files_the_one_that_is_left_does_not_answer_for_the_other(
    keeper: Keeper, api: Api, tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    body = {"tasks": {"task_name": "site.partial", "path": str(tmp_path / "gate")}, "block": True}
    _, [final] = await api.post("/v1/create", body, **keeper.headers)
    await keeper.delete(urls=final["result"]["first"])
    ask = f"/v1/file/{{}}?task={final['key']}"
    assert (await api.ask("GET", ask.format("first"))).status == 404
    assert (await api.ask("GET", ask.format("second"))).status == 302
    answer = await api.ask("GET", ask.format("x"))
    assert (answer.status, "'second'" in answer.json["message"]) == (404, True)


async def test_who_asks_again_for_a_deleted_file_gets_it_made_anew(
    keeper: Keeper, api: Api
) -> None:
    ask = {"task_name": "site.text", "text": "again", "secret": "keeper-secret"}
    places = []
    for _ in range(3):
        for _ in range(2):
            answer = await api.ask("GET", "/v2/create_file/x", params=ask)
            places.append(answer.headers["Location"])
        assert (await get(api, places[-1])).body == b"again"
        assert (await keeper.delete(urls=places[-1]))["deleted"] == 1
    assert [places[0] == places[1], places[2] == places[3], len(set(places))] == [True, True, 3]


async def test_files_of_children_are_in_the_list_and_in_the_sum(keeper: Keeper, api: Api) -> None:
    child = {"task_name": "site.text", "text": "child"}
    parent = {"task_name": "site.parent", "children": [child]}
    family = {"task_name": "site.parent", "children": [parent, child]}
    body = {"tasks": family, "block": True}
    _, [final] = await api.post("/v1/create", body, **keeper.headers)
    assert final["status"] == "success"
    assert (await keeper.look())["usage"] == 10
    assert len(await keeper.names()) == 2


# How long.


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
    kept = await get(api, old)
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
    assert (await get(api, old)).status == 404
    answer = await get(api, new)
    assert answer.headers["Cache-Control"].startswith("public, max-age=863")
    assert await keeper.look(recursive="true") | {"files": []} == {
        "files": [], "directories": [], "usage": 3
    }  # fmt: skip
