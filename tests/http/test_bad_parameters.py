"""Wrong parameters end their own task at once; wrong paths and methods refuse a request."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.wire import read_lines

pytestmark = pytest.mark.usefixtures("no_bugs")

JOHN: dict[str, Any] = {"task_name": "hello", "name": "John"}
URL = "http://files.com/cat.jpg"
THUMB: dict[str, Any] = {"task_name": "image.thumb", "url": URL}
PIXELS = "must be a whole number of pixels from 1 to 16383"
HTTP_URL = "must be an http or https URL of at most 8192 characters"
SOURCE_URL = (
    f"{HTTP_URL}, dragon:KEY/FILE, a file that another task made, "
    "or s3://BUCKET/KEY in a store of this server"
)


# Parameters of a task


@pytest.mark.parametrize(
    ("task", "words"),
    [
        *((THUMB | {"width": width}, f"width: {PIXELS}") for width in (0, -1, 10**9, "abc", "5")),
        *((THUMB | {"height": height}, f"height: {PIXELS}") for height in (1.5, True, "9px")),
        (THUMB | {"crop": "true"}, 'crop: must be true, false or "smart"'),
        *(
            (THUMB | {"quality": quality}, "quality: must be a whole number from 1 to 95")
            for quality in (0, 96, 2.5, "80")
        ),
        (THUMB | {"rotation": 45}, "rotation: must be one of: 0, 90, 180, 270"),
        (THUMB | {"format": "bmp"}, "format: must be one of: "),
        (THUMB | {"wdith": 5}, "wdith: this parameter is unknown, choose among: url, width"),
        ({"task_name": "image.thumb"}, "url: this field is required"),
        ({"task_name": "hello", "name": 5}, "name: expected a string, got an integer"),
        ({"task_name": "hello", "name": None}, "name: expected a string, got null"),
        *(
            (THUMB | {"url": url}, f"url: {SOURCE_URL}")
            for url in (
                "",
                "cat.jpg",
                "//files.com/cat.jpg",
                "http://",
                "http:///cat.jpg",
                "ftp://files.com/cat.jpg",
                "file:///etc/passwd",
                "data:image/png;base64,AAAA",
                "http:// files.com/cat.jpg",
                "http://files.com/a\n",
                "http://files.com/\x00",
                "http://files.com/" + "a" * 8192,
                5,
                None,
            )
        ),
        (JOHN | {"url_callback": "nowhere"}, f"url_callback: {HTTP_URL}"),
        (JOHN | {"task_store": {"type": "attic"}}, "task_store: must be "),
        (JOHN | {"task_nmae": 5}, "task_nmae: names that start with task_ are the system's"),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_wrong_parameters_end_their_task_at_once_and_no_other(
    api: Api, task: dict[str, Any], words: str
) -> None:
    body = {"tasks": [JOHN, task, JOHN]}
    status, [_, wrong, _] = await api.post("/v1/create", body)
    assert status == 200
    assert wrong.keys() == {"status", "key", "result", "events"}
    assert wrong["status"] == "error"
    assert wrong["result"].startswith(words)
    assert wrong["events"].keys() == {"queued", "completed"}
    _, [first, again, last] = await api.post("/v1/create", body | {"block": True})
    assert [first["result"], last["result"]] == ["Hello John", "Hello John"]
    assert again["result"] == wrong["result"]
    _, [kept] = await api.get(f"/v1/status?tasks={wrong['key']}")
    assert kept == wrong


async def test_all_wrong_parameters_are_told(api: Api) -> None:
    task = {"task_name": "image.thumb", "width": 0, "x": 1, "task_x": 2}
    final = await api.run(**task)
    told = [problem.partition(":")[0] for problem in final["result"].split("; ")]
    assert sorted(told) == ["task_x", "url", "width", "x"]


async def test_a_stream_of_wrong_parameters_is_its_first_line(api: Api) -> None:
    async with api.create_stream(THUMB | {"width": 0}) as stream:
        [[status]] = await read_lines(stream)
    assert status["status"] == "error"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("width=abc", f"width: {PIXELS}"),
        ("width=1.5", f"width: {PIXELS}"),
        ("width=", f"width: {PIXELS}"),
        ("width=0", f"width: {PIXELS}"),
        ("width=10&width=20", f"width: {PIXELS}"),
        ("width=NaN", f"width: {PIXELS}"),
        ("width=" + "9" * 5_000, f"width: {PIXELS}"),
        ("crop=maybe", "crop: "),
        ("format=bmp", "format: must be one of: "),
        ("nothing=5", "nothing: this parameter is unknown"),
        ("sizes=" + quote('{"a":' * 1_100 + "1" + "}" * 1_100), "sizes: this parameter is unknown"),
    ],
    ids=lambda value: value[:30],
)
async def test_wrong_parameters_in_a_query_are_the_tasks_error(
    api: Api, query: str, words: str
) -> None:
    path = f"/v1/create_file/cat.jpg?task_name=image.thumb&url={quote(URL)}&{query}"
    status, answer = await api.get(path)
    assert status == 400
    assert answer.keys() == {"status", "key", "result", "events"}
    assert answer["result"].startswith(words)


@pytest.mark.parametrize("text", ["[" * 7_000, "[" * 3_500 + "]" * 3_500, '{"a":' * 1_200])
@pytest.mark.parametrize("name", ["task_metas", "task_store", "sizes", "url"])
async def test_a_query_may_nest_no_deeper_than_it_can_be_read(
    api: Api, name: str, text: str
) -> None:
    query = {"task_name": "image.thumbs", "url": URL, "sizes": '{"a": {}}'} | {name: text}
    answer = await api.ask("GET", "/v1/create_file/a", params=query, headers=api.headers)
    assert answer.status == 400
    assert answer.json["status"] == "error"


async def test_numbers_beyond_any_size_in_metas_break_nothing(api: Api) -> None:
    for text in ("9" * 4_000, "1e999", "-1e999", "NaN", "9" * 19 + "." + "9" * 400):
        query = {"task_name": "hello", "name": "John", "task_metas": text}
        answer = await api.ask("GET", "/v1/create_file/a", params=query, headers=api.headers)
        assert answer.json["message"] == "the task 'hello' made no file"


# Paths and methods


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/create", "POST"),
        ("HEAD", "/v1/create", "POST"),
        ("PUT", "/v1/create", "POST"),
        ("DELETE", "/v1/create", "POST"),
        ("PATCH", "/v1/create_stream", "POST"),
        ("PUT", "/v1/status", "GET, HEAD, POST"),
        ("PROPFIND", "/v1/status", "GET, HEAD, POST"),
        ("TRACE", "/v1/stream", "GET, POST"),
        ("HEAD", "/v1/stream", "GET, POST"),
        ("HEAD", "/v1/status_stream", "GET, POST"),
        ("POST", "/v1/file/cat.jpg", "GET, HEAD"),
        ("DELETE", "/v1/create_file/cat.jpg", "GET, HEAD, POST"),
        ("POST", "/files/" + "A" * 26 + "/output.jpg", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_to_use(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = await api.ask(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Content-Type"].startswith("application/json")
    if method != "HEAD":
        assert answer.json == {
            "status": "error",
            "message": f"{method} is not allowed here, use {allowed}",
        }


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/create/",
        "/v1/create/x",
        "/v1//create",
        "/V1/create",
        "/v1/status/x",
        "/v1/file/a/b",
        "/v1/create_file/a/b",
        "/v1/%00",
        "/v1/%ff%fe",
        "/static/nothing",
        "/static/..%2f__init__.py",
    ],
)
async def test_an_unknown_path_is_answered_in_the_same_form(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await api.ask(method, path)
        assert answer.status in ((404, 405) if path.startswith("/static") else (404,))
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.json.keys() == {"status", "message"}
        assert answer.json["status"] == "error"


async def test_a_head_is_answered_as_a_get_without_a_body(api: Api, origin: Origin) -> None:
    key = (await api.run(task_name="image.thumb", url=origin.url("rocket.jpg"), width=9))["key"]
    create = f"/v1/create_file?task_name=image.thumb&url={origin.url('rocket.jpg')}&width=9"
    for path in (f"/v1/status?tasks={key}", f"/v1/file?task={key}", "/v1/status", create):
        get = await api.ask("GET", path, headers=api.headers)
        head = await api.ask("HEAD", path, headers=api.headers)
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers.get("Content-Type") == get.headers.get("Content-Type")
        assert head.headers.get("Location") == get.headers.get("Location")
