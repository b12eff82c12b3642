"""Pictures that stand in for others: placeholders, and errors as pictures."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from dragon.http.answers import Failure, json_response
from dragon.http.files.placeholders import PictureSize, error_picture
from tests.support.accounts import API_KEY, PAGE
from tests.support.api import Answer, Api
from tests.support.origin import Origin

pytestmark = pytest.mark.usefixtures("no_bugs")


def size(answer: Answer) -> tuple[str, str]:
    """Of an SVG picture that can do no harm."""
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    root = ElementTree.fromstring(answer.body)  # noqa: S314
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    return root.attrib["width"], root.attrib["height"]


@pytest.mark.parametrize("sides", [("1", "1"), ("300", "200"), ("16383", "16383")])
async def test_a_placeholder_has_the_size_that_its_path_says(
    api: Api, sides: tuple[str, str]
) -> None:
    answer = await api.ask("GET", f"/placeholder/{'x'.join(sides)}.svg")
    assert (answer.status, size(answer)) == (200, sides)
    assert answer.headers["Cache-Control"] == "public, max-age=86400"


@pytest.mark.parametrize(
    "name", ["0x1", "1x0", "16384x1", "1x99999999", "01x1", "-1x1", "1.5x1", "x", "1x1x1", "٣x٣"]
)
async def test_there_is_no_placeholder_of_any_other_size(api: Api, name: str) -> None:
    assert (await api.ask("GET", f"/placeholder/{name}.svg")).status == 404


async def get(api: Api, **query: Any) -> Answer:
    query = {"task_name": "image.thumb", "error": "image", **query}
    return await api.ask("GET", "/v2/create_file/a.jpg", params=query, headers=api.headers)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"width": 60, "height": 40}, ("60", "40")),
        ({"width": 600}, ("600", "400")),
        ({"height": 400}, ("600", "400")),
        ({"width": 1}, ("1", "1")),
        ({"height": 16383}, ("16383", "16383")),
        ({}, ("300", "200")),
        ({"width": "wide", "height": -1}, ("300", "200")),
        ({"width": "1e3", "height": "16384"}, ("300", "200")),
    ],
)
async def test_an_error_is_a_picture_of_the_size_that_was_asked_for(
    api: Api, asked: dict[str, Any], given: tuple[str, str]
) -> None:
    answer = await get(api, url="none", **asked)
    assert (answer.status, size(answer)) == (400, given)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "url: must be an http or https URL" in answer.headers["Dragon-Error"]


async def test_the_words_of_each_error_stand_in_a_header(api: Api, origin: Origin) -> None:
    origin.bodies["cat"] = b"no picture"
    url = origin.url("cat")
    expected = {
        f"File '{url}' is not a valid image file": await get(api, url=url),
        "unknown task_name 'x', choose one of: audio.beats": await get(api, task_name="x"),
        "wait must be a number of seconds from 0 to 60; fallback must be": await get(
            api, url=url, wait="x", fallback="y"
        ),
        "the credentials are missing or wrong": await api.ask(
            "GET", "/v1/create_file?error=image", headers={}
        ),
        "this page is not on the list of referrers of the api key": await api.ask(
            "GET", f"/v1/create_file?error=image&api_key={API_KEY}", headers={"Referer": "x"}
        ),
    }
    for words, answer in expected.items():
        assert answer.headers["Dragon-Error"].startswith(words)
        assert size(answer) == ("300", "200")
    assert [answer.status for answer in expected.values()] == [400, 400, 400, 401, 401]
    assert [*expected.values()][3].headers["WWW-Authenticate"]


async def test_a_page_may_read_the_words(api: Api) -> None:
    assert "Dragon-Error" in (await get(api)).headers["Access-Control-Expose-Headers"]


async def test_words_in_any_script_are_one_line_of_ascii(api: Api) -> None:
    answer = await get(api, task_name="é\r\nSet-Cookie: a=b 🐉" + "x" * 5_000)
    words = answer.headers["Dragon-Error"]
    assert re.fullmatch(r"unknown task_name '\\xe9\\r\\nSet-Cookie: a=b \\U0001f409x+.*", words)
    assert "Set-Cookie" not in answer.headers
    assert len(words) < 600


def test_what_no_header_may_hold_is_a_space_in_its_words() -> None:
    failure = json_response(Failure("\0a\x1b[31m\r\n\u2028b\x7fc"), 500)
    assert error_picture(failure, PictureSize(1, 1)).headers["Dragon-Error"] == "a [31m b c"


async def test_a_missing_file_is_a_picture_also_when_it_was_answered_before(
    api: Api, origin: Origin
) -> None:
    sizes = '{"small": {"width": 20}, "large": {"width": 40}}'
    query = {"task_name": "image.thumbs", "url": origin.url("rocket.jpg"), "sizes": sizes}
    for _ in range(2):
        answer = await get(api, **query)
        assert (answer.status, size(answer)) == (404, ("300", "200"))
        assert answer.headers["Dragon-Error"].startswith("'a.jpg' is not a valid filename")


async def test_a_task_that_is_not_done_is_a_picture_with_a_time_to_come_again(
    api: Api, gate: Any
) -> None:
    answer = await get(api, task_name="site.gate", path=str(gate.path), wait="0")
    gate.open()
    assert (answer.status, size(answer)) == (503, ("300", "200"))
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Dragon-Error"] == "the task has not ended in 0 seconds, and goes on"


async def test_a_post_asks_for_it_in_its_body(api: Api) -> None:
    for version in ("v1", "v2"):
        body = {"task": {"task_name": "image.thumb", "width": 60}, "error": "image"}
        answer = await api.ask(
            "POST", f"/{version}/create_file", json=body, headers={"Referer": PAGE, **api.headers}
        )
        assert (answer.status, size(answer)) == (400, ("60", "40"))
        assert answer.headers["Dragon-Error"] == "url: this field is required"
    answer = await api.ask("POST", "/v2/create_file", json={"task": [], "error": "image"})
    assert (answer.status, size(answer)) == (401, ("300", "200"))


async def test_without_it_errors_are_json(api: Api) -> None:
    for error in ("json", None):
        query = {} if error is None else {"error": error}
        answer = await api.ask("GET", "/v2/create_file", params=query)
        assert (answer.status, answer.json["status"]) == (401, "error")
    answer = await get(api, error="png")
    assert answer.json["errors"][0]["description"] == "error must be image or json"


async def test_a_picture_that_can_be_made_is_not_touched(api: Api, origin: Origin) -> None:
    assert (await get(api, url=origin.url("rocket.jpg"))).status == 302
