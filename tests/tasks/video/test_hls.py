"""video.hls: a ladder of renditions, each a child, under one playlist that plays."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import av
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from imageio_ffmpeg import get_ffmpeg_exe
from playwright.async_api import Page
from yarl import URL

from tests.support.api import Api
from tests.support.browser import LISTED, PAGES, needs_chromium
from tests.support.clips import ENDLESS, Clips
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS, eventually
from tests.support.wire import next_line, read_lines

ASSETS = ROOT / "tests/assets/hls.js"

SMALL = {"lines": 90, "video_bitrate": 150, "audio_bitrate": 64}
LARGE = {"lines": 180, "video_bitrate": 400}
SECONDS = 5
FILM = (
    *("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={SECONDS}"),
    *("-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}"),
    *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "33", "-c:a", "aac"),
)


@pytest_asyncio.fixture
async def film(origin: Origin, clips: Clips) -> AsyncIterator[str]:
    """The URL of five seconds with sound."""
    origin.bodies["film.mp4"] = clips("film.mp4", *FILM).read_bytes()
    yield origin.url("film.mp4")


async def stream(api: Api, url: str, **params: Any) -> Any:
    params = {"renditions": [SMALL, LARGE], "segment_seconds": 2} | params
    final = await api.run(task_name="video.hls", url=url, **params)
    assert final["status"] == "success", final
    return final["result"]


async def text_of(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        assert response.content_type == "application/vnd.apple.mpegurl"
        return await response.text()


def variants(master: str) -> list[tuple[dict[str, str], str]]:
    """Attributes and address of each rendition that a master playlist tells."""
    pair = re.compile(r'([A-Z-]+)=(?:"([^"]*)"|([^,]*))')
    return [
        ({name: quoted or plain for name, quoted, plain in pair.findall(attributes)}, uri)
        for attributes, uri in re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.*)\n", master)
    ]


def decoded(url: str) -> str:
    """What ffmpeg, as a player, tells of all that it decodes."""
    command = [get_ffmpeg_exe(), "-i", url, "-map", "0:v:0", "-map", "0:a?", "-f", "null", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def key_times(playlist: str) -> list[float]:
    """When the key frames of a rendition are shown, in seconds."""
    with av.open(playlist) as file:
        frames = file.decode(file.streams.video[0])
        return [round(float(frame.time or 0), 2) for frame in frames if frame.key_frame]


async def body_of(url: URL) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()


@pytest.mark.parametrize("packing", ["cmaf", "ts"])
async def test_its_playlist_plays_in_ffmpeg_with_key_frames_side_by_side(
    api: Api, film: str, packing: str
) -> None:
    result = await stream(api, film, packing=packing)
    master = await text_of(result["playlist"])
    assert result["duration"] == pytest.approx(SECONDS, abs=0.1)
    times = []
    for attributes, uri in variants(master):
        playlist = URL(result["playlist"]).join(URL(uri))
        text = await text_of(str(playlist))
        parts = [
            (float(seconds), int(size), int(start))
            for seconds, size, start in re.findall(
                r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\d+)@(\d+)\n", text
            )
        ]
        assert [round(seconds, 1) for seconds, _, _ in parts] == [2, 2, 1]
        rates = [size * 8 / seconds for seconds, size, _ in parts]
        assert max(rates) <= int(attributes["BANDWIDTH"]) <= max(rates) + 1
        assert int(attributes["AVERAGE-BANDWIDTH"]) <= int(attributes["BANDWIDTH"])
        media = await body_of(playlist.join(URL(text.splitlines()[-2])))
        assert len(media) == parts[-1][1] + parts[-1][2]
        assert parts[0][2] == 0
        times.append(await asyncio.to_thread(key_times, str(playlist)))
    first = times[0][0]
    assert [round(time - first, 1) for time in times[0]] == [0, 2, 4]
    assert times[0] == times[1]
    told = decoded(result["playlist"])
    assert re.findall(r"frame=\s*(\d+)", told)[-1] == str(SECONDS * 25)
    assert "aac" in told


async def test_the_master_playlist_tells_what_each_rendition_is(api: Api, film: str) -> None:
    result = await stream(api, film)
    (small, _), (large, uri) = variants(await text_of(result["playlist"]))
    assert (small["RESOLUTION"], large["RESOLUTION"]) == ("160x90", "320x180")
    assert small["FRAME-RATE"] == large["FRAME-RATE"] == "25.000"
    assert int(small["BANDWIDTH"]) < int(large["BANDWIDTH"])
    assert re.fullmatch(r"avc1\.[0-9a-f]{6},mp4a\.40\.2", large["CODECS"])
    assert re.fullmatch(r"\.\./[A-Z2-7]{26}/playlist\.m3u8", uri)
    told = result["renditions"][1]
    assert str(URL(result["playlist"]).join(URL(uri))) == told["playlist"]
    assert (told["name"], told["width"], told["codecs"]) == ("180p", 320, large["CODECS"])
    head = await body_of(URL(told["playlist"]).join(URL("init.mp4")))
    profile = head[head.index(b"avcC") + 5 :][:3]
    assert large["CODECS"].startswith(f"avc1.{profile.hex()}")


@pytest.mark.parametrize(
    ("params", "names", "sizes"),
    [
        ({"renditions": ["240p", "1080p"]}, ["90p"], ["160x90"]),
        ({"renditions": [LARGE, SMALL, {**SMALL, "lines": 45, "name": "tiny"}]},
         ["tiny", "90p"], ["80x44", "160x90"]),
        ({"renditions": [LARGE], "enlarge": True}, ["180p"], ["320x180"]),
    ],
)  # fmt: skip
async def test_nothing_is_larger_than_the_source_unless_that_is_asked(
    api: Api, origin: Origin, clips: Clips, params: Any, names: list[str], sizes: list[str]
) -> None:
    origin.bodies["short.mp4"] = clips("h264.mp4").read_bytes()
    result = await stream(api, origin.url("short.mp4"), **params)
    assert [one["name"] for one in result["renditions"]] == names
    assert [f"{one['width']}x{one['height']}" for one in result["renditions"]] == sizes


async def test_upright_and_silent_videos_are_streamed(
    api: Api, origin: Origin, clips: Clips
) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc2=size=90x161:rate=30:duration=1")
    upright = clips("upright.mp4", *picture, "-pix_fmt", "yuv444p", "-c:v", "libx264")
    origin.bodies["upright.mp4"] = upright.read_bytes()
    result = await stream(api, origin.url("upright.mp4"), renditions=[{**SMALL, "lines": 60}])
    [(attributes, _)] = variants(await text_of(result["playlist"]))
    assert attributes["RESOLUTION"] == "60x106"
    assert "mp4a" not in attributes["CODECS"]
    assert "yuv420p" in decoded(result["playlist"])


async def test_a_partial_result_plays_while_other_renditions_are_made(
    api: Api, origin: Origin, film: str
) -> None:
    opened = asyncio.Event()

    async def serve(_: web.Request) -> web.Response:
        # The task itself and one of its renditions get the source, the other waits for it.
        if origin.hits.count("film.mp4") > 2:
            await opened.wait()
        return web.Response(body=origin.bodies["film.mp4"])

    origin.handlers["film.mp4"] = serve
    definition = {"task_name": "video.hls", "url": film, "renditions": [SMALL, LARGE]}
    lines = []
    async with api.create_stream(definition) as stream:
        [created] = await next_line(stream)
        assert created["status"] == "queued"
        async for line in stream.content:
            lines.append(json.loads(line))
            if "result" in lines[-1] and not opened.is_set():
                partial = lines[-1]["result"]
                told = await asyncio.to_thread(decoded, partial["playlist"])
                assert re.findall(r"frame=\s*(\d+)", told)[-1] == str(SECONDS * 25)
                opened.set()
    assert len(partial["renditions"]) == 1
    assert lines[-1]["status"] == "success"
    final = lines[-1]["result"]
    assert partial["playlist"] == final["playlist"]
    fractions = [line["progress"]["fraction"] for line in lines if "progress" in line]
    assert fractions
    assert fractions == sorted(fractions)
    assert len(variants(await text_of(final["playlist"]))) == 2


@pytest.mark.parametrize("name", ["rocket.jpg", "nothing.mp4"])
async def test_what_is_no_video_is_told_in_usual_words(api: Api, origin: Origin, name: str) -> None:
    final = await api.run(task_name="video.hls", url=origin.url(name))
    assert final["status"] == "error"
    assert final["result"].startswith(f"File '{origin.url(name)}' ")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"renditions": []}, "renditions: must be a list of 1 to 10 renditions, such as"),
        ({"renditions": ["361p"]}, "renditions: "),
        ({"renditions": [{"lines": 90}]}, "renditions: [0]: video_bitrate: this field is required"),
        ({"renditions": [SMALL, SMALL]}, "renditions: two are called '90p': give them names"),
        ({"packing": "dash"}, 'packing: must be one of: "cmaf", "ts"'),
        ({"segment_seconds": 0}, "segment_seconds: must be a whole number of seconds from 1 to 20"),
    ],
)
async def test_wrong_parameters_are_told(api: Api, params: Any, words: str) -> None:
    final = await api.run(task_name="video.hls", url="http://example.com/x.mp4", **params)
    assert final["result"].startswith(words)


async def test_a_pipeline_streams_what_another_step_made(api: Api, film: str) -> None:
    steps = {
        "short": {"task_name": "video.convert", "url": film, "end": 1, "width": 160},
        "stream": {
            "task_name": "video.hls", "url": "step:short/output", "renditions": [SMALL],
        },
    }  # fmt: skip
    final = await api.run(task_name="media.pipeline", steps=steps, result={"all": "step:stream"})
    assert final["status"] == "success", final
    assert "frame=   25" in decoded(final["result"]["all"]["playlist"])


async def test_it_tells_how_fast_it_is_and_cancelling_it_stops_what_encodes(
    api: Api, dragon: Dragon, origin: Origin, clips: Clips
) -> None:
    origin.bodies["endless.mp4"] = clips("endless.mp4", *ENDLESS).read_bytes()
    definition = {
        "task_name": "video.hls", "url": origin.url("endless.mp4"), "enlarge": True,
        "renditions": ["720p", "1080p"],
    }  # fmt: skip
    async with api.create_stream(definition) as stream:
        [created] = await next_line(stream)
        async for line in stream.content:
            parts = json.loads(line).get("progress", {}).get("renditions", {})
            if parts.keys() == {"720p", "1080p"} and all("speed" in one for one in parts.values()):
                break
        assert len(encoders(dragon)) >= 2
        await api.post("/v1/cancel", {"tasks": created["key"]})
        [*_, final] = await read_lines(stream)
    assert final["status"] == "error"
    await eventually(lambda: not encoders(dragon))


def encoders(dragon: Dragon) -> list[Any]:
    return [one for one in dragon.worker().children(recursive=True) if "ffmpeg" in one.name()]


@pytest_asyncio.fixture
async def player() -> AsyncIterator[str]:
    """The URL of a page, of another host than Dragon, that plays with hls.js."""
    files = {"player.html": PAGES / "player.html", "hls.js": ASSETS / "hls.light.min.js"}

    async def serve(request: web.Request) -> web.FileResponse:
        return web.FileResponse(files[request.match_info["name"]])

    app = web.Application()
    app.router.add_get("/{name}", serve)
    async with TestServer(app, host="127.0.0.1") as server:
        yield f"http://{LISTED}:{server.port}/player.html"


@needs_chromium
@pytest.mark.parametrize("packing", ["cmaf", "ts"])
async def test_it_plays_in_a_browser(
    page: Page, player: str, api: Api, film: str, packing: str
) -> None:
    result = await stream(api, film, packing=packing, segment_seconds=1)
    await page.goto(player)
    async with asyncio.timeout(2 * DEADLINE_SECONDS):
        played = await page.evaluate("url => play(url)", result["playlist"])
    assert played["errors"] == []
    assert played["sizes"] == ["160x90", "320x180"]
    assert played["levels"] == [0, 1]
    assert played["seconds"] == pytest.approx(SECONDS, abs=0.15)
    assert played["frames"] > 0.9 * SECONDS * 25
    assert played["width"] == 320
