"""Videos go the whole way: fetched, looked at in confined children, their pictures served."""

import aiohttp
import pytest
from pyvips import Image

from tests.broker import Broker
from tests.clips import Clips
from tests.conftest import Api, Origin
from tests.fetching import Canary
from tests.pictures import psnr
from tests.support import MEDIA
from tests.test_bad_sources import failure

TASKS = (
    *("video.convert", "video.info", "video.preview", "video.reverse", "video.strip"),
    "video.thumb",
)


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


@pytest.mark.parametrize("task", TASKS)
async def test_what_is_no_video_is_told_at_the_first_try(
    task: str, api: Api, broker: Broker, origin: Origin, clips: Clips
) -> None:
    origin.bodies = {
        "empty": b"",
        "page": b"<!doctype html><html></html>",
        "cut.mp4": (MEDIA / "bigbuckbunny.mp4").read_bytes()[:30_000],
        "sound.mp3": clips("mp3.mp3").read_bytes(),
    }
    for name in origin.bodies:
        url = origin.url(name)
        words = "has no video stream" if name == "sound.mp3" else "is not a valid video file"
        assert await failure(api, broker, url, task) == f"File '{url}' {words}"


@pytest.mark.parametrize("task", TASKS)
async def test_a_playlist_is_refused_and_what_it_names_is_not_asked_for(
    task: str, api: Api, broker: Broker, origin: Origin, canary: Canary
) -> None:
    other = f"http://127.0.0.1:{canary.port}/film.mp4"
    origin.bodies = {
        "list.m3u8": f"#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n".encode(),
        "list.mp4": b"\0\0\0\x14ftypisom\0\0\0\0isom#EXTM3U\n" + other.encode(),
        "list.txt": f"ffconcat version 1.0\nfile '{other}'\n".encode(),
    }
    for name in origin.bodies:
        url = origin.url(name)
        words = f"File '{url}' is not a valid video file"
        assert await failure(api, broker, url, task) == words
    assert not canary.was_touched
