"""Output files: how they are served, and what their addresses are."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from tests.support.api import Answer, Api
from tests.support.origin import Origin
from tests.support.processes import Dragon
from tests.support.wire import send_raw

pytestmark = pytest.mark.usefixtures("no_bugs")

TYPES = {
    "jpeg": ("output.jpg", "image/jpeg"),
    "png": ("output.png", "image/png"),
    "gif": ("output.gif", "image/gif"),
    "webp": ("output.webp", "image/webp"),
    "avif": ("output.avif", "image/avif"),
}
NOTHING = {"status": "error", "message": "there is nothing at this path"}


@pytest_asyncio.fixture
async def path(api: Api, origin: Origin) -> str:
    """Where a small JPEG was made."""
    return await make(api, origin, "jpeg")


async def make(api: Api, origin: Origin, format: str) -> str:
    url = origin.url("rocket.jpg")
    final = await api.run(task_name="image.thumb", url=url, width=64, format=format)
    return str(final["result"]["output"]).removeprefix(api.url)


# Serving


@pytest.mark.parametrize("format", TYPES)
async def test_a_file_has_its_name_and_type(api: Api, origin: Origin, format: str) -> None:
    filename, content_type = TYPES[format]
    path = await make(api, origin, format)
    assert path.endswith("/" + filename)
    answer = await api.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == content_type
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 100
    assert "Content-Encoding" not in answer.headers


async def test_a_file_may_be_kept_as_long_as_it_is_there(api: Api, path: str) -> None:
    headers = (await api.ask("GET", path)).headers
    public, age, immutable = headers["Cache-Control"].split(", ")
    assert (public, immutable) == ("public", "immutable")
    assert 29 * 86_400 < int(age.removeprefix("max-age=")) <= 30 * 86_400


async def test_a_file_can_do_no_harm_in_a_browser(api: Api, path: str) -> None:
    headers = (await api.ask("GET", path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert headers["Access-Control-Allow-Origin"] == "*"


async def test_a_file_that_is_known_is_not_sent_again(api: Api, path: str) -> None:
    whole = await api.ask("GET", path)
    known = await api.ask("GET", path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (known.status, known.body) == (304, b"")
    assert known.headers["ETag"] == whole.headers["ETag"]
    assert known.headers["Cache-Control"].startswith("public, max-age=")
    other = await api.ask("GET", path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.body) == (200, whole.body)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=100-199", 100, 200),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999", 0, None),
    ],
)
async def test_a_part_of_a_file_can_be_had(
    api: Api, path: str, asked: str, first: int, end: int | None
) -> None:
    whole = (await api.ask("GET", path)).body
    part = await api.ask("GET", path, headers={"Range": asked})
    assert (part.status, part.body) == (206, whole[first:end])
    start = first % len(whole)
    last = start + len(part.body) - 1
    assert part.headers["Content-Range"] == f"bytes {start}-{last}/{len(whole)}"
    assert part.headers["Content-Type"] == "image/jpeg"
    assert part.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-999999999", "bytes=9-5"])
async def test_a_part_that_is_not_there_is_refused(api: Api, path: str, asked: str) -> None:
    size = len((await api.ask("GET", path)).body)
    answer = await api.ask("GET", path, headers={"Range": asked})
    assert (answer.status, answer.headers["Cache-Control"]) == (416, "no-store")
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-0", "lines=1-2", "bytes=", "nothing"])
async def test_what_is_no_single_range_of_bytes_is_not_looked_at(
    api: Api, path: str, asked: str
) -> None:
    whole = (await api.ask("GET", path)).body
    strange = asked.encode() + b"\r\nX-Strange: \xff\xfe"
    request = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: %b\r\n\r\n"
    answer = await send_raw(api.url, request % (path.encode(), strange))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n" + whole)


async def test_a_condition_that_does_not_hold_is_told_and_kept_by_no_cache(
    api: Api, path: str
) -> None:
    answer = await api.ask("GET", path, headers={"If-Match": '"another"'})
    assert (answer.status, answer.headers["Cache-Control"]) == (412, "no-store")


async def test_a_head_tells_all_but_the_bytes(api: Api, path: str) -> None:
    get, head = await api.ask("GET", path), await api.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "X-Content-Type-Options"):
        assert head.headers[name] == get.headers[name]


# What is not there


def is_nothing(answer: Answer) -> bool:
    assert answer.headers.get("Cache-Control") == "no-store"
    return answer.status == 404


@pytest.mark.parametrize(
    "filename", ["other.jpg", "output", "output.png", "OUTPUT.JPG", "output.jpg%00", "output.jpg~"]
)
async def test_another_name_is_nothing(api: Api, path: str, filename: str) -> None:
    answer = await api.ask("GET", path.replace("output.jpg", filename))
    assert is_nothing(answer)
    assert answer.json == NOTHING


@pytest.mark.parametrize("key", ["A" * 26, "short", "a" * 26, "..", "A" * 5000, "%00"])
async def test_an_unknown_key_is_nothing(api: Api, key: str) -> None:
    answer = await api.ask("GET", f"/files/{key}/output.jpg")
    assert is_nothing(answer)
    assert answer.json["status"] == "error"


async def test_a_task_without_files_has_none(api: Api) -> None:
    key = (await api.run(task_name="hello", name="John"))["key"]
    assert is_nothing(await api.ask("GET", f"/files/{key}/output.jpg"))


TRICKS = [
    "/files/../dragon.toml",
    "/files/{key}/../../../dragon.toml",
    "/files/{key}/..%2f..%2f..%2fdragon.toml",
    "/files/{key}/..%2F1%2Foutput.jpg",
    "/files/{key}/%2e%2e/{key}/other.jpg",
    "/files/{key}/..%5coutput.jpg",
    "/files/{key}/....//output.jpg",
    "/files/{key}//output.jpg",
    "/files//{key}/output.jpg",
    "//files/{key}/output.jpg",
    "/files/{key}/%2fetc%2fpasswd",
    "/files/{key}/%252e%252e%252foutput.jpg",
    "/files/{key}/output.jpg/",
    "/files/{key}/output.jpg/.",
    "/files/{key}/./other.jpg",
    "/files/{key}/",
    "/files/{key}",
    "/files/",
    "/files/{key}%2foutput.jpg",
    "/files/%2e%2e%2f{key}/output.jpg",
    "/files/{key}/output.jpg%0d%0aX:%20y",
    "/files/{key}/output.jpg\\..\\..",
    "/static/../../dragon.toml",
    "/static/..%2f..%2fdragon.toml",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_path_leads_elsewhere(dragon: Dragon, path: str, trick: str) -> None:
    key = path.split("/")[2]
    target = trick.replace("{key}", key)
    answer = await send_raw(
        dragon.url, f"GET {target} HTTP/1.1\r\nHost: a.net\r\nConnection: close\r\n\r\n".encode()
    )
    assert int(answer.split(b" ", 2)[1]) in (400, 404)
    assert not any(word in answer for word in (b"acme-secret", b"root:", b"\xff\xd8\xff"))


# Addresses


async def test_an_address_is_absolute_by_the_host_that_was_asked(api: Api, origin: Origin) -> None:
    task = {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}
    for host in ("media.example.com", "media.example.com:8443", "[::1]:80"):
        headers = api.headers | {"Host": host}
        body = {"tasks": task, "block": True}
        [final] = (await api.ask("POST", "/v1/create", json=body, headers=headers)).json
        path = f"/files/{final['key']}/output.jpg"
        assert final["result"]["output"] == f"http://{host}{path}"
        answer = await api.ask("GET", f"/v1/file?task={final['key']}", headers={"Host": host})
        assert answer.headers["Location"] == f"http://{host}{path}"
        assert (await api.ask("GET", path)).status == 200


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon behind a proxy."""
    data = tmp_path_factory.mktemp("published")
    with Dragon(data, DRAGON_PUBLIC_URL="https://media.example.com/dragon/") as dragon:
        yield dragon


@pytest_asyncio.fixture
async def published_api(published: Dragon) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, published.url)


async def test_an_address_is_the_public_one_where_that_is_set(
    published_api: Api, origin: Origin
) -> None:
    api, task = published_api, {"task_name": "image.thumb", "url": origin.url("rocket.jpg")}
    headers = api.headers | {"Host": "elsewhere.net", "X-Forwarded-Host": "evil.net"}
    body = {"tasks": task, "block": True}
    [final] = (await api.ask("POST", "/v1/create", json=body, headers=headers)).json
    url = f"https://media.example.com/dragon/files/{final['key']}/output.jpg"
    assert final["result"]["output"] == url
    answer = await api.ask("GET", f"/v1/file?task={final['key']}", headers=headers)
    assert answer.headers["Location"] == url
    answer = await api.ask("GET", urlsplit(url).path.removeprefix("/dragon"))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
