"""What an account deletes of its stored files, through the API of a real Dragon."""

from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.keeper import Keeper, key_of
from tests.support.processes import Dragon


async def test_a_deleted_file_is_served_no_more_and_its_tasks_status_stays(
    keeper: Keeper, api: Api, dragon: Dragon
) -> None:
    one, other = await keeper.make("one", "other")
    assert (await keeper.get(one)).body == b"one"
    [path] = [path for path in await keeper.names() if key_of(one) in path]
    assert (dragon.data / "files" / "keeper" / path).is_file()
    assert await keeper.delete(path) == {"deleted": 1, "freed": 3, "usage": 5}
    assert not (dragon.data / "files" / "keeper" / path).exists()
    assert (await keeper.get(one)).status == 404
    assert (await keeper.get(other)).status == 200
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
        assert (await keeper.get(places[-1])).body == b"again"
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
