"""`dragon:<key>/<file>`: files of other tasks as sources, read where they are kept."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import CONFIG, SECRET
from tests.support.api import Api, api_of
from tests.support.gate import Gate
from tests.support.origin import Origin
from tests.support.paths import matching
from tests.support.processes import Dragon
from tests.support.waiting import wait_until

UNKNOWN = "there is no such task, or it has expired"


async def thumb(api: Api, origin: Origin, **parameters: Any) -> str:
    """The key of a task that made a picture."""
    url = origin.url("rocket.jpg")
    final = await api.run(task_name="image.thumb", url=url, width=64, **parameters)
    assert final["status"] == "success", final
    return str(final["key"])


async def use(api: Api, url: str, secret: str = SECRET) -> Any:
    """What a thumbnail of the file comes to."""
    body = {"tasks": {"task_name": "image.thumb", "url": url, "width": 32}, "block": True}
    _, [final] = await api.post("/v1/create", body, Authorization=f"Secret {secret}")
    return final["result"]


@pytest.mark.parametrize("name", ["output", "output.jpg"])
async def test_a_file_of_one_task_is_the_source_of_another_without_http(
    api: Api, origin: Origin, name: str
) -> None:
    key = await thumb(api, origin)
    origin.hits.clear()
    made = await use(api, f"dragon:{key}/{name}")
    assert (made["width"], made["original_width"]) == (32, 64)
    assert origin.hits == []


async def test_it_is_read_where_it_is_kept(api: Api, dragon: Dragon, origin: Origin) -> None:
    key = await thumb(api, origin)
    [kept] = (dragon.data / "files").glob(f"*/*/{key}/*/output.jpg")
    before = kept.stat()
    final = await api.run(task_name="site.path", url=f"dragon:{key}/output")
    assert final["result"] == str(kept)
    assert kept.stat() == before


async def test_strangers_do_not_learn_what_exists(api: Api, origin: Origin, tmp_path: Path) -> None:
    done = await thumb(api, origin)
    failed = (await api.run(task_name="site.fail"))["key"]
    gate = Gate(tmp_path / "gate")
    _, [running] = await api.post("/v1/create", {"tasks": gate.task()})
    await gate.runs(1)
    for key in ("A" * 26, done, failed, running["key"]):
        for name in ("output", "nothing"):
            url = f"dragon:{key}/{name}"
            words = f"File '{url}' could not be read: {UNKNOWN}"
            assert await use(api, url, secret="other-secret") == words
    gate.open()


async def test_what_cannot_be_read_is_told_to_its_account(
    api: Api, origin: Origin, tmp_path: Path
) -> None:
    done = await thumb(api, origin)
    failed = (await api.run(task_name="site.fail"))["key"]
    plain = (await api.run(task_name="hello", name="John"))["key"]
    gate = Gate(tmp_path / "gate")
    _, [running] = await api.post("/v1/create", {"tasks": gate.task()})
    for key, name, words in (
        ("A" * 26, "output", UNKNOWN),
        (failed, "output", "its task failed"),
        (running["key"], "output", "its task has not ended"),
        (plain, "output", "its task has no such file, it has none"),
        (done, "small", "its task has no such file, choose one of: 'output'"),
    ):
        url = f"dragon:{key}/{name}"
        assert await use(api, url) == f"File '{url}' could not be read: {words}"
    gate.open()


async def test_an_expired_file_is_unknown(tmp_path: Path) -> None:
    config = CONFIG.replace("lease_seconds", "retention_seconds = 1\nlease_seconds")
    with Dragon(tmp_path / "d", config=config) as own:
        async with api_of(own.url) as client:
            key = (await client.run(task_name="site.text", text="x"))["key"]
            wait_until(lambda: not matching(own.data, f"files/*/*/{key}"))
            url = f"dragon:{key}/output"
            assert await use(client, url) == f"File '{url}' could not be read: {UNKNOWN}"


@pytest.mark.parametrize(
    "url",
    [
        "dragon:",
        f"dragon:{'A' * 26}",
        f"dragon:{'A' * 26}/",
        f"dragon:{'A' * 25}/output",
        f"dragon:{'a' * 26}/output",
        f"dragon://{'A' * 26}/output",
        f"dragon:{'A' * 26}/../output",
        f"dragon:{'A' * 26}/output/x",
        f"dragon:{'A' * 26}/output\n",
        f"DRAGON:{'A' * 26}/output",
    ],
)
async def test_what_names_no_file_is_refused_before_it_is_queued(api: Api, url: str) -> None:
    words = "url: must be an http or https URL of at most 8192 characters"
    assert (await use(api, url)).startswith(words)
