"""Outputs that lie in a store, from the task that makes them to the client that gets them."""

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
from msgspec import to_builtins

from dragon.settings import StoreSettings
from tests.support.accounts import CONFIG
from tests.support.api import Api, api_of
from tests.support.keeper import Keeper
from tests.support.paths import MEDIA
from tests.support.processes import PATIENCE, Dragon, Part
from tests.support.s3 import ACCESS_KEY, PREFIX, S3, SECRET_KEY, Look
from tests.support.waiting import eventually
from tests.support.wire import send_raw

KEEP = 'output_store = "media"\nretention_seconds = 1000\nvolatile_seconds = 300\n'
VOLATILE = {"type": "volatile"}


@pytest.fixture(scope="module")
def seen(s3: S3) -> Look:
    """Into the bucket that the module's Dragon keeps outputs in."""
    return s3.make_bucket()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, seen: Look) -> Iterator[Dragon]:
    """A Dragon whose outputs go to a store."""
    with Dragon(
        tmp_path_factory.mktemp("stored"), config=KEEP + CONFIG, **variable(seen.settings())
    ) as stored:
        yield stored


@pytest_asyncio.fixture
async def api(stored: Dragon) -> AsyncIterator[Api]:
    async with api_of(stored.url) as api:
        yield api


@pytest.fixture(scope="module")
def another(stored: Dragon, seen: Look) -> Iterator[Part]:
    """Another server of the same Dragon: lets the store serve, and keeps volatile files briefly."""
    store = variable(seen.settings(presigned_seconds=600))
    redis = stored.settings().redis
    brief = PATIENCE | {"DRAGON_VOLATILE_SECONDS": "1"}
    with Part(stored.data, "serve", "--port", "0", "--redis", redis, **store, **brief) as another:
        yield another


@pytest.fixture
def presigning(another: Part, api: Api) -> Api:
    return Api(api.session, another.url())


def variable(store: StoreSettings) -> dict[str, str]:
    """How a process gets it: keys do not stand in a file that the test shows."""
    stores = {"media": msgspec.json.decode(msgspec.json.encode(to_builtins(store)))}
    return {"DRAGON_STORES": msgspec.json.encode(stores).decode()}


async def write(api: Api, text: str = "meow ", repeats: int = 1000) -> tuple[str, str]:
    """The key of a task that made a file, and the file's path on the server."""
    final = await api.run(task_name="site.write", text=text, repeats=repeats)
    assert final["status"] == "success", final
    path = str(final["result"]["output"]).removeprefix(api.url)
    assert path == f"/files/{final['key']}/output.txt"
    return final["key"], path


# Through Dragon


async def test_a_file_goes_to_the_store_and_is_served(stored: Dragon, api: Api, seen: Look) -> None:
    key, path = await write(api)
    [kept] = [one for one in seen.paths() if key in one]
    assert re.fullmatch(rf"acme/\d{{4}}-\d\d-\d\d/{key}/\d+/output\.txt", kept)
    assert seen.get(kept) == ("text/plain", b"meow " * 1000)
    assert not list((stored.data / "files").rglob(key))
    served = await api.ask("GET", path)
    assert (served.status, served.body) == (200, b"meow " * 1000)
    assert served.headers["Content-Type"] == "text/plain"
    assert served.headers["Content-Length"] == "5000"
    assert served.headers["Cache-Control"].startswith("public, max-age=9")
    assert served.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert served.headers["Access-Control-Allow-Origin"] == "*"


async def test_an_account_lists_and_deletes_what_is_in_the_store(api: Api, seen: Look) -> None:
    keeper = Keeper(api)
    urls = await keeper.make("one", "two")
    names = await keeper.names()
    assert set(names) <= {path.removeprefix("keeper/") for path in seen.paths()}
    public = f"https://cdn.example.com/{PREFIX}/keeper/{names[0]}"
    assert await keeper.delete(urls=public) == {"deleted": 1, "freed": 3, "usage": 3}
    assert [path for path in seen.paths() if "keeper" in path] == ["keeper/" + names[1]]
    assert await keeper.delete(names[1]) == {"deleted": 1, "freed": 3, "usage": 0}
    assert {(await api.ask("GET", url.removeprefix(api.url))).status for url in urls} == {404}


async def test_the_file_is_a_source_of_another_task(api: Api) -> None:
    url = f"{api.url}/static/sample.jpg"
    thumb = await api.run(task_name="image.thumb", url=url, width=64)
    info = await api.run(task_name="image.info", url=f"dragon:{thumb['key']}/output")
    assert info["result"]["width"] == 64


async def test_an_object_of_the_store_is_a_source(api: Api, seen: Look) -> None:
    seen.put("in/rocket.jpg", (MEDIA / "rocket.jpg").read_bytes())
    url = f"s3://{seen.name}/{PREFIX}/in/rocket.jpg"
    thumb = await api.run(task_name="image.thumb", url=url, width=64)
    assert thumb["status"] == "success", thumb
    missing = await api.run(task_name="image.thumb", url=url + "x", width=64)
    assert missing["result"] == f"File '{url}x' could not be read: there is no such file"


async def test_tasks_hand_on_files_through_the_store(api: Api, seen: Look) -> None:
    sample = f"{api.url}/static/sample.jpg"
    steps = {
        "small": {"task_name": "image.thumb", "url": sample, "width": 64},
        "tiny": {"task_name": "image.thumb", "url": "step:small/output", "width": 16},
    }
    signed = seen.signed_put("tiny.jpg", "image/jpeg")
    final = await api.run(
        task_name="media.pipeline",
        steps=steps,
        result={"cover": "step:tiny/output"},
        task_store={"type": "s3_signed", "url": signed},
    )
    assert final["status"] == "success", final
    assert final["result"]["cover"] == signed.partition("?")[0]
    assert seen.get("tiny.jpg")[1][:3] == b"\xff\xd8\xff"


async def test_a_head_tells_all_but_the_bytes(api: Api) -> None:
    _, path = await write(api)
    get, head = await api.ask("GET", path), await api.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


async def test_a_file_that_is_known_is_not_sent_again(api: Api) -> None:
    _, path = await write(api)
    etag = (await api.ask("GET", path)).headers["ETag"]
    for asked in (etag, f'"other", W/{etag}', "*"):
        known = await api.ask("GET", path, headers={"If-None-Match": asked})
        assert (known.status, known.body, known.headers["ETag"]) == (304, b"", etag)
    other = await api.ask("GET", path, headers={"If-None-Match": '"other"'})
    assert (other.status, len(other.body)) == (200, 5000)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 5000),
        ("bytes=4990-", 4990, 5000),
        ("bytes=-7", 4993, 5000),
        ("bytes=100-99999999", 100, 5000),
    ],
)
async def test_a_part_of_a_file_can_be_had(api: Api, asked: str, first: int, end: int) -> None:
    _, path = await write(api)
    part = await api.ask("GET", path, headers={"Range": asked})
    assert (part.status, part.body) == (206, (b"meow " * 1000)[first:end])
    assert part.headers["Content-Range"] == f"bytes {first}-{end - 1}/5000"


async def test_a_part_of_another_version_is_not_mixed_in(api: Api) -> None:
    _, path = await write(api)
    etag = (await api.ask("HEAD", path)).headers["ETag"]
    for condition, status in ((etag, 206), ('"other"', 200)):
        headers = {"Range": "bytes=0-9", "If-Range": condition}
        assert (await api.ask("GET", path, headers=headers)).status == status


async def test_a_condition_that_does_not_hold_is_told_and_kept_by_no_cache(api: Api) -> None:
    _, path = await write(api)
    etag = (await api.ask("HEAD", path)).headers["ETag"]
    for condition, status in ((etag, 200), ("*", 200), (f'"x", {etag}', 200), ('"other"', 412)):
        answer = await api.ask("GET", path, headers={"If-Match": condition})
        assert answer.status == status
    assert (answer.headers["Cache-Control"], answer.body) == ("no-store", b"")


@pytest.mark.parametrize("asked", ["bytes=5000-", "bytes=9-5", f"bytes={'9' * 5000}-"])
async def test_a_part_that_is_not_there_is_refused(api: Api, asked: str) -> None:
    _, path = await write(api)
    answer = await api.ask("GET", path, headers={"Range": asked})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */5000"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-0", "lines=1-2", "bytes=", "nothing"])
async def test_what_is_no_single_range_of_bytes_is_not_looked_at(api: Api, asked: str) -> None:
    _, path = await write(api, "meow", 1000)
    strange = asked.encode() + b"\r\nX-Strange: \xff\xfe"
    request = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nRange: %b\r\n\r\n"
    answer = await send_raw(api.url, request % (path.encode(), strange))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n" + b"meow" * 1000)


async def test_a_large_file_is_sent_whole(api: Api) -> None:
    _, path = await write(api, "0123456789", 1_000_000)
    assert (await api.ask("GET", path)).body == b"0123456789" * 1_000_000


async def test_a_file_that_is_gone_from_the_store_is_nothing(api: Api, seen: Look) -> None:
    key, path = await write(api)
    [kept] = [one for one in seen.paths() if key in one]
    seen.delete(kept)
    assert (await api.ask("GET", path)).status == 404


async def test_files_are_deleted_when_their_time_is_over(presigning: Api, seen: Look) -> None:
    final = await presigning.run(task_name="site.write", text="x", task_store=VOLATILE)
    assert final["status"] == "success"
    await eventually(lambda: not any(final["key"] in path for path in seen.paths()))


# Past Dragon


async def test_the_store_serves_for_a_while(api: Api, presigning: Api) -> None:
    key, path = await write(api)
    answer = await presigning.ask("GET", path)
    assert (answer.status, answer.headers["Cache-Control"]) == (302, "public, max-age=300")
    url = answer.headers["Location"]
    assert "X-Amz-Expires=600&" in url
    async with api.session.get(url) as response:
        assert (response.content_type, await response.read()) == ("text/plain", b"meow " * 1000)
    # Signed for this method alone, it must not answer the other from a cache.
    head = await presigning.ask("HEAD", path)
    assert (head.status, head.headers["Cache-Control"]) == (302, "no-store")
    file = await presigning.ask("GET", f"/v2/file?task={key}")
    assert urlsplit(file.headers["Location"]).path == path


async def test_a_signed_url_does_not_outlive_the_file(api: Api, presigning: Api) -> None:
    final = await api.run(task_name="site.write", text="x", task_store=VOLATILE)
    answer = await presigning.ask("GET", f"/files/{final['key']}/output.txt")
    found = re.search(r"X-Amz-Expires=(\d+)&", answer.headers["Location"])
    assert found
    assert 200 < int(found[1]) <= 300
    assert answer.headers["Cache-Control"] == f"public, max-age={int(found[1]) // 2}"


async def test_no_key_nor_signature_is_on_a_command_line_or_in_a_log(
    stored: Dragon, api: Api, presigning: Api
) -> None:
    _, path = await write(api)
    await presigning.ask("GET", path)
    lines = [" ".join(process.cmdline()) for process in stored.family()]
    logs = [log.read_text() for log in stored.data.glob("*.log")]
    assert len(lines) > 3
    assert len(logs) > 1
    for secret in (SECRET_KEY, ACCESS_KEY, "X-Amz-Signature"):
        assert not any(secret in text for text in (*lines, *logs))
