"""Videos go the whole way: fetched, looked at in confined children, their pictures served."""

import aiohttp
from pyvips import Image

from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.pictures import psnr


async def fetched(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.read()


async def test_a_film_is_told_of_shown_and_laid_out(api: Api, origin: Origin) -> None:
    url = origin.url("bigbuckbunny.mp4")
    told = (await api.run(task_name="video.info", url=url))["result"]
    assert (told["video_codec"], told["width"], told["duration"]) == ("h264", 1280, 5.312)
    shown = (await api.run(task_name="video.thumb", url=url, time=3, width=200))["result"]
    still = Image.new_from_buffer(await fetched(shown["output"]), "")
    assert (still.width, still.height) == (shown["width"], shown["height"]) == (200, 113)
    options = {"url": url, "width": 200, "count": 2, "start": 3, "end": 5}
    strip = (await api.run(task_name="video.strip", **options))["result"]
    sections = Image.new_from_buffer(await fetched(strip["output"]), "")
    assert psnr(sections.crop(0, 0, 200, 113), still) > 30


async def test_the_track_of_a_preview_leads_to_its_picture(api: Api, origin: Origin) -> None:
    url = origin.url("bigbuckbunny.mp4")
    made = (await api.run(task_name="video.preview", url=url))["result"]
    async with aiohttp.ClientSession() as session, session.get(made["track"]) as response:
        assert response.content_type == "text/vtt"
        track = await response.text()
        last = track.strip().rpartition("\n")[2]
        there = response.url.join(type(response.url)(last))
    picture = Image.new_from_buffer(await fetched(str(there.with_fragment(None))), "")
    assert (picture.width, picture.height) == (made["width"], made["height"])


async def test_the_picture_of_a_film_can_be_had_by_its_address(api: Api, origin: Origin) -> None:
    query = {"task_name": "video.thumb", "url": origin.url("bigbuckbunny.mp4"), "time": "2"}
    answer = await api.ask(
        "GET",
        "/v1/create_file/film.jpg",
        params=query,
        headers=api.headers,
        allow_redirects=True,
    )
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
