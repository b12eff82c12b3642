"""What is seen in pictures and heard in music goes the whole way, as does what cannot be."""

from pathlib import Path

import aiohttp
import pytest
from pyvips import Image

from tests.network.test_bad_sources import failure
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.clips import run_ffmpeg
from tests.support.origin import Origin
from tests.support.paths import MEDIA
from tests.support.pictures import psnr
from tests.tasks import music

LOOKING = ("image.face", "image.saliency", "image.smartcrop")


async def test_a_portrait_is_looked_at(api: Api, origin: Origin) -> None:
    origin.bodies["astronaut.jpg"] = (MEDIA / "astronaut.jpg").read_bytes()
    url = origin.url("astronaut.jpg")
    found = (await api.run(task_name="image.face", url=url))["result"]
    [face] = found["faces"]
    assert face.keys() == {"type", "x", "y", "width", "height", "confidence", "rotation"}
    middle = face["x"] + face["width"] / 2, face["y"] + face["height"] / 2
    points = (await api.run(task_name="image.saliency", url=url))["result"]["points"]
    assert (points[0]["x"], points[0]["y"]) == pytest.approx(middle, abs=20)
    boxes = await api.run(task_name="image.smartcrop", url=url, aspect_ratio=1, boxes_number=1)
    [box] = boxes["result"]["points"]
    assert box["x"] < middle[0] < box["x"] + box["width"]
    assert box["y"] < middle[1] < box["y"] + box["height"]


async def test_a_smart_thumbnail_of_a_portrait_shows_the_face(api: Api, origin: Origin) -> None:
    portrait = (MEDIA / "astronaut.jpg").read_bytes()
    origin.bodies["astronaut.jpg"] = portrait
    options = {"width": 256, "height": 80, "crop": "smart", "format": "png"}
    made = await api.run(task_name="image.thumb", url=origin.url("astronaut.jpg"), **options)
    async with aiohttp.ClientSession() as web, web.get(made["result"]["output"]) as response:
        thumbnail = Image.new_from_buffer(await response.read(), "")
    whole = Image.new_from_buffer(portrait, "").thumbnail_image(256)
    shown = [psnr(whole.crop(0, top, 256, 80), thumbnail) for top in range(256 - 80 + 1)]
    top = shown.index(max(shown))
    assert max(shown) > 35
    assert top < 30
    assert top + 80 > 88


async def test_music_is_heard(api: Api, origin: Origin, tmp_path: Path) -> None:
    times = music.beats(120, 8)
    wav = music.song(times, 8).write(tmp_path / "music.wav")
    run_ffmpeg("-i", str(wav), str(tmp_path / "music.mp3"))
    origin.bodies["music.mp3"] = (tmp_path / "music.mp3").read_bytes()
    found = (await api.run(task_name="audio.beats", url=origin.url("music.mp3")))["result"]
    assert found == {
        "beats": [pytest.approx(time, abs=0.05) for time in times],
        "downbeats": [pytest.approx(time, abs=0.05) for time in times[::4]],
        "duration": pytest.approx(8, abs=0.05),
    }


async def test_the_sound_of_a_film_is_heard_through(api: Api, origin: Origin) -> None:
    found = await api.run(task_name="audio.beats", url=origin.url("bigbuckbunny.mp4"))
    assert found["result"]["duration"] == 5


@pytest.mark.parametrize("task", [*LOOKING, "audio.beats"])
async def test_what_is_neither_is_told_at_the_first_try(
    task: str, api: Api, broker: Broker, origin: Origin
) -> None:
    kind = "image" if task in LOOKING else "audio"
    origin.bodies = {
        "empty": b"",
        "page": b"<!doctype html><html></html>",
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "list.txt": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    }
    for name in origin.bodies:
        url = origin.url(name)
        words = f"File '{url}' is not a valid {kind} file"
        assert await failure(api, broker, url, task) == words
