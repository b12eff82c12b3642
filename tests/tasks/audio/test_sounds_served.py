"""Sounds through a whole Dragon: converted, served, drawn, and one task's file in another."""

import json
from io import BytesIO
from typing import Any

import av
import pytest
from pyvips import Image

from tests.support.api import Api
from tests.support.clips import Clips
from tests.support.origin import Origin

pytestmark = pytest.mark.usefixtures("no_bugs")


@pytest.mark.parametrize(
    ("codec", "content_type", "extension"),
    [
        ("opus", "audio/ogg; codecs=opus", ".opus"),
        ("wav", "audio/wav", ".wav"),
        ("vorbis", "audio/ogg", ".ogg"),
    ],
)
async def test_a_sound_is_served_as_what_it_is(
    api: Api, origin: Origin, clips: Clips, codec: str, content_type: str, extension: str
) -> None:
    origin.bodies["sound"] = clips("mp3.mp3").read_bytes()
    result = await api.made(task_name="audio.convert", url=origin.url("sound"), codec=codec)
    assert result["output"].endswith(extension)
    served = await api.ask("GET", result["output"].removeprefix(api.url))
    assert (served.status, served.headers["Content-Type"]) == (200, content_type)
    with av.open(BytesIO(served.body)) as file:
        assert file.streams.audio[0].codec_context.codec.canonical_name == result["codec"]


async def test_what_was_made_is_the_source_of_a_waveform(
    api: Api, origin: Origin, clips: Clips
) -> None:
    origin.bodies["film"] = clips("h264.mp4").read_bytes()
    sound = await api.made(task_name="audio.convert", url=origin.url("film"), codec="flac")
    url = f"dragon:{sound['output'].split('/')[-2]}/output"
    drawn = await api.made(task_name="audio.waveform", url=url, width=300)
    served = await api.ask("GET", drawn["output"].removeprefix(api.url))
    assert Image.new_from_buffer(served.body, "").width == 300
    told = await api.made(task_name="audio.waveform", url=url, width=7, format="json")
    served = await api.ask("GET", told["output"].removeprefix(api.url))
    assert served.headers["Content-Type"].startswith("application/json")
    assert len(json.loads(served.body)["peaks"]) == 7


@pytest.mark.parametrize(
    ("task_name", "name", "problem"),
    [
        ("audio.convert", "codec", {"codec": "wma"}),
        ("audio.convert", "loudness", {"loudness": 0}),
        ("audio.convert", "sample_rate", {"sample_rate": 12345}),
        ("audio.waveform", "fill", {"fill": "red"}),
        ("audio.waveform", "vmargin", {"vmargin": -1}),
    ],
)
async def test_a_parameter_that_is_not_right_is_named(
    api: Api, task_name: str, name: str, problem: dict[str, Any]
) -> None:
    final = await api.run(task_name=task_name, url="http://a.example/b", **problem)
    assert final["status"] == "error"
    assert name in final["result"]
