"""`format=auto`: the format of a picture by what the client accepts."""

import json
from typing import Any

import pytest

from dragon.errors import InvalidSettings
from dragon.formats import choose_formats
from dragon.registry import Registry
from dragon.task import RESERVED_NAMES, Context, Params, TaskType, task
from tests.support.accounts import SECRET
from tests.support.api import Answer, Api
from tests.support.origin import Origin

pytestmark = pytest.mark.usefixtures("no_bugs")

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
REGISTRY = Registry.load(["tasks"])


def find(name: str) -> TaskType:
    found = REGISTRY.get(name)
    assert found
    return found


def chosen(name: str, accept: str) -> Any:
    return choose_formats(find(name).params, {"format": "auto"}, accept).get("format")


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (CHROMIUM, "avif"),
        ("image/webp,*/*", "webp"),
        ("image/webp, image/avif;q=0.1", "avif"),
        ("IMAGE/WEBP ; Q=0.5", "webp"),
        ("image/avif;q=0,image/webp", "webp"),
        ("image/avif;q=0.000,image/webp;q=none", "jpeg"),
        ("image/avif;q=2", "jpeg"),
        ("image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "jpeg"),
        ("*/*", "jpeg"),
        ("", "jpeg"),
        ("image/png", "png"),
        ("image/jpeg;q=0, image/*", "png"),
        ("text/html", "jpeg"),
        (",;q=1,,;;,image/webpx", "jpeg"),
    ],
)
def test_the_newest_format_that_the_client_names_is_chosen(accept: str, format: str) -> None:
    assert chosen("image.thumb", accept) == format


def test_a_task_that_writes_fewer_formats_chooses_among_those() -> None:
    assert chosen("audio.waveform", CHROMIUM) == "jpeg"
    assert chosen("audio.waveform", "image/png,image/webp") == "png"


def test_only_formats_of_pictures_are_chosen() -> None:
    having = {one.name for one in REGISTRY if chosen(one.name, CHROMIUM)}
    assert having == {
        "audio.waveform", "image.strip", "image.thumb", "image.thumbs", "video.preview",
        "video.strip", "video.thumb",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("operations", "changed"),
    [
        ([{"type": "format", "format": "auto"}], [{"type": "format", "format": "webp"}]),
        (
            [{"type": "grey"}, {"type": "format", "format": "auto"}, 7],
            [{"type": "grey"}, {"type": "format", "format": "webp"}, 7],
        ),
        ([{"type": "format", "format": "png"}], None),
        ([{"type": "grey", "format": "auto"}], None),
        ([{"type": ["format"], "format": "auto"}], None),
        ([{"format": "auto"}, "auto", ["auto"], None], None),
        ("auto", None),
        ({"format": "auto"}, None),
    ],
)
def test_the_format_in_an_operation_is_chosen_too(operations: Any, changed: Any) -> None:
    found = choose_formats(find("image.convert").params, {"operations": operations}, "image/webp")
    assert found == ({} if changed is None else {"operations": changed})


async def get(api: Api, accept: str | None, **query: Any) -> Answer:
    query = {"task_name": "image.thumb", "width": 40, "secret": SECRET, **query}
    headers = {} if accept is None else {"Accept": accept}
    return await api.ask("GET", "/v2/create_file/a", params=query, headers=headers)


async def test_each_client_gets_what_it_shows_and_caches_know_why(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    endings = {CHROMIUM: "avif", "image/webp": "webp", "*/*": "jpg"}
    for _ in range(2):
        for accept, ending in endings.items():
            answer = await get(api, accept, url=url, format="auto")
            assert answer.headers["Location"].endswith(f"/output.{ending}")
            assert answer.headers["Vary"] == "Accept"
            assert answer.headers["Cache-Control"].startswith("public, ")
    assert len(origin.hits) == 3


async def test_what_was_chosen_is_the_same_as_what_is_asked_for_by_name(
    api: Api, origin: Origin
) -> None:
    url = origin.url("rocket.jpg")
    negotiated = await get(api, "image/webp", url=url, format="auto")
    named = await get(api, "image/avif", url=url, format="webp")
    assert named.headers["Location"] == negotiated.headers["Location"]
    assert "Vary" not in named.headers
    key = named.headers["Location"].split("/")[-2]
    [status] = (await api.get(f"/v2/status?tasks={key}&details=true"))[1]
    assert status["details"]["parameters"]["format"] == "webp"


async def test_operations_in_a_url_are_chosen_for(api: Api, origin: Origin) -> None:
    operations = [{"type": "resize", "width": 40}, {"type": "format", "format": "auto"}]
    query = {
        "task_name": "image.convert",
        "url": origin.url("rocket.jpg"),
        "operations": json.dumps(operations),
        "secret": SECRET,
    }
    answer = await api.ask("GET", "/v2/create_file", params=query, headers={"Accept": CHROMIUM})
    assert answer.headers["Location"].endswith("/output.avif")
    assert answer.headers["Vary"] == "Accept"


async def test_a_post_of_create_file_chooses_too(api: Api, origin: Origin) -> None:
    task = {"task_name": "image.thumb", "url": origin.url("rocket.jpg"), "format": "auto"}
    headers = {**api.headers, "Accept": "image/webp"}
    answer = await api.ask("POST", "/v1/create_file", json={"task": task}, headers=headers)
    assert answer.headers["Location"].endswith("/output.webp")


async def test_elsewhere_it_is_told_where_it_may_stand(api: Api, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    words = ['"auto" is for create_file alone, which chooses by what the client accepts']
    operations = [{"type": "format", "format": "auto"}]
    tasks = [
        {"task_name": "image.thumb", "url": url, "format": "auto"},
        {"task_name": "image.convert", "url": url, "operations": operations},
    ]
    status, updates = await api.post("/v2/create", {"tasks": tasks, "block": True})
    assert status == 200
    assert [update["error"] for update in updates] == [
        {"parameters": {"format": words}},
        {"parameters": {"operations": words}},
    ]
    task = {"task_name": "video.convert", "url": url, "format": "auto"}
    status, answer = await api.post("/v2/create_file", {"task": task})
    assert status == 400
    assert "must be one of" in answer["error"]["parameters"]["format"][0]


# What tasks may not call their parameters


@pytest.mark.parametrize("packages", [["tasks"], ["tasks", "tests.site_tasks"]])
def test_no_task_has_a_parameter_that_create_file_takes_for_itself(packages: list[str]) -> None:
    for one in Registry.load(packages):
        assert not RESERVED_NAMES.intersection(one.params.__struct_fields__), one.name


def test_a_task_that_has_one_is_refused_at_the_start() -> None:
    class PatientParams(Params, frozen=True, kw_only=True):
        wait: int

    async def patient(params: PatientParams, ctx: Context) -> str:
        return ""

    patient.__annotations__ = {"params": PatientParams, "ctx": Context, "return": str}
    marked: Any = task("site.patient")(patient)
    with pytest.raises(InvalidSettings, match=r"'site\.patient' has a parameter 'wait', which"):
        Registry([marked.__dragon_task__])
