"""The document's examples of /v1/create_file and /v1/file, asked of a running Dragon."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.accounts import API_KEY, PAGE
from tests.support.api import Api
from tests.support.origin import Origin

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def picture(origin: Origin) -> str:
    """What http://files.com/image.jpg is in the document."""
    return origin.url("rocket.jpg")


def sizes(*names: str) -> dict[str, Any]:
    return {name: {"width": 20 + 10 * index} for index, name in enumerate(names)}


@pytest.mark.parametrize("path", ["/v1/create_file/cat.jpg", "/v1/create_file"])
async def test_a_file_is_created_and_redirected_to(api: Api, picture: str, path: str) -> None:
    body = {"task": {"task_name": "image.thumb", "url": picture}}
    answer = await api.ask("POST", path, json=body, headers=api.headers)
    assert answer.status == 302
    async with api.session.get(answer.headers["Location"]) as file:
        assert (file.status, file.content_type) == (200, "image/jpeg")
        assert (await file.read()).startswith(JPEG)


async def test_several_files_are_selected_by_name(api: Api, picture: str) -> None:
    task = {"task_name": "image.thumbs", "url": picture, "sizes": sizes("small", "large")}
    answer = await api.ask(
        "POST", "/v1/create_file/large", json={"task": task}, headers=api.headers
    )
    assert answer.status == 302
    assert answer.headers["Location"].endswith("/large.jpg")


async def test_a_wrong_filename_is_answered_with_the_right_ones(api: Api, picture: str) -> None:
    task = {"task_name": "image.thumbs", "url": picture, "sizes": sizes("small", "large")}
    assert await api.post("/v1/create_file/medium", {"task": task}) == (
        404,
        {
            "status": "error",
            "message": "'medium' is not a valid filename, choose one of: 'small', 'large'",
        },
    )


async def test_a_missing_filename_is_answered_with_the_right_ones(api: Api, picture: str) -> None:
    task = {"task_name": "image.thumbs", "url": picture, "sizes": sizes("small", "large")}
    status, answer = await api.post("/v1/create_file", {"task": task})
    assert status == 404
    assert answer["message"] == "a filename is missing, choose one of: 'small', 'large'"


async def test_a_file_task_that_fails_is_answered_with_its_status(api: Api, origin: Origin) -> None:
    origin.bodies["cat.jpeg"] = b"no picture at all"
    url = origin.url("cat.jpeg")
    task = {"task_name": "image.thumb", "url": url}
    status, answer = await api.post("/v1/create_file/cat.jpg", {"task": task})
    assert status == 400
    assert answer.keys() == {"status", "key", "result", "events"}
    assert answer["status"] == "error"
    assert answer["result"] == f"File '{url}' is not a valid image file"
    assert {"queued", "completed"} <= answer["events"].keys()


async def test_a_file_task_with_wrong_parameters_never_starts(api: Api) -> None:
    status, answer = await api.post("/v1/create_file", {"task": {"task_name": "image.thumb"}})
    assert status == 400
    assert answer["result"] == "url: this field is required"
    assert answer["events"].keys() == {"queued", "completed"}


async def test_an_image_tag_can_create_a_thumbnail(api: Api, picture: str) -> None:
    query = urlencode({"task_name": "image.thumb", "url": picture, "api_key": API_KEY})
    path = f"/v1/create_file/cat.jpg?{query}"
    async with api.session.get(api.url + path, headers={"Referer": PAGE}) as shown:
        assert (shown.status, shown.content_type) == (200, "image/jpeg")
        assert (await shown.read()).startswith(JPEG)


async def test_a_query_string_carries_parameters_of_every_type(api: Api, picture: str) -> None:
    parameters = {"url": picture, "width": 30, "height": "30", "crop": "true", "format": "png"}
    query = urlencode({"task_name": "image.thumb", **parameters})
    async with api.session.get(f"{api.url}/v1/create_file?{query}", headers=api.headers) as shown:
        assert (shown.status, shown.content_type) == (200, "image/png")
        assert int.from_bytes((await shown.read())[16:20]) == 30


@pytest.mark.parametrize("filename", ["/cat.jpg", "/", ""])
async def test_the_file_of_a_task_is_waited_for(api: Api, picture: str, filename: str) -> None:
    body = {"tasks": {"task_name": "image.thumb", "url": picture}}
    _, [queued] = await api.post("/v1/create", body)
    async with api.session.get(f"{api.url}/v1/file{filename}?task={queued['key']}") as file:
        assert (file.status, file.content_type) == (200, "image/jpeg")
        assert (await file.read()).startswith(JPEG)
