"""Files that are no sounds or videos, and lists of others, are refused at the first try."""

import pytest

from tests.network.test_bad_sources import failure
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.clips import Clips
from tests.support.fetching import Canary
from tests.support.origin import Origin
from tests.support.paths import MEDIA

TASKS = [
    *(("audio", f"audio.{name}") for name in ("convert", "info", "waveform")),
    *(
        ("video", f"video.{name}")
        for name in ("convert", "info", "preview", "reverse", "strip", "thumb")
    ),
]
"""Each with the kind of stream that it needs."""
BEGINNINGS = {"audio": b"\xff\xfb\x90\x44", "video": b"\0\0\0\x14ftypisom\0\0\0\0isom"}
"""Of an MP3 and an MP4."""

pytestmark = [pytest.mark.usefixtures("no_bugs"), pytest.mark.parametrize(("kind", "task"), TASKS)]


async def test_what_is_none_is_told(
    kind: str, task: str, api: Api, broker: Broker, origin: Origin, clips: Clips
) -> None:
    cut = {
        "audio": clips("aac.m4a").read_bytes()[:3000],
        "video": (MEDIA / "bigbuckbunny.mp4").read_bytes()[:30_000],
    }
    other = {"audio": clips("moving.gif"), "video": clips("mp3.mp3")}
    origin.bodies = {
        "empty": b"",
        "page": b"<!doctype html><html></html>",
        "cut": cut[kind],
        "other": other[kind].read_bytes(),
    }
    for name in origin.bodies:
        url = origin.url(name)
        words = f"has no {kind} stream" if name == "other" else f"is not a valid {kind} file"
        assert await failure(api, broker, url, task) == f"File '{url}' {words}"


async def test_of_a_list_nothing_is_asked_for(
    kind: str, task: str, api: Api, broker: Broker, origin: Origin, canary: Canary
) -> None:
    other = f"http://127.0.0.1:{canary.port}/other"
    origin.bodies = {
        "list.m3u8": f"#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n".encode(),
        "disguised": BEGINNINGS[kind] + b"#EXTM3U\n" + other.encode(),
        "list.txt": f"ffconcat version 1.0\nfile '{other}'\n".encode(),
    }
    for name in origin.bodies:
        url = origin.url(name)
        words = f"File '{url}' is not a valid {kind} file"
        assert await failure(api, broker, url, task) == words
    assert not canary.was_touched
