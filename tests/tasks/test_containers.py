"""Only files whose first bytes are those of a known container reach FFmpeg, and that one only."""

import os
from pathlib import Path
from typing import Any

import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.toolkit.media import containers, probe
from tasks.toolkit.media.media import Media
from tests.support.clips import RECIPES, SOUND, Clips
from tests.support.decoders import call, children, source
from tests.support.pictures import URL, write

NOT_VALID = f"File '{URL}' is not a valid audio or video file"
SECRET = b"the secret of another file"
PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{}\n#EXT-X-ENDLIST\n",
    "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>file:{}</BaseURL></Period></MPD>',
    "concat": b"ffconcat version 1.0\nfile '{}'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "asx": b'<asx version="3.0"><entry><ref href="file:{}"/></entry></asx>',
    "redirect": b"[Reference]\nRef1=file:{}\n",
    "smil": b'<smil><body><video src="file:{}"/></body></smil>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:{}"/></svg>',
    "subtitles": b"WEBVTT\n\n00:00.000 --> 00:01.000\nfile:{}\n",
    "image list": b"file:{}%03d.png",
}
BEGINNINGS = {
    "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
    "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm",
    "avi": b"RIFF\xff\0\0\0AVI LIST",
    "wav": b"RIFF\xff\0\0\0WAVEfmt \x10\0\0\0",
    "aiff": b"FORM\0\0\xff\0AIFFCOMM",
    "flv": b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
    "mpegts": (b"\x47" + b"\0" * 187) * 5,
    "mpeg": b"\0\0\x01\xba\x44",
    "ogg": b"OggS\0\x02",
    "asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
    "gif": b"GIF89a",
    "flac": b"fLaC\0\0\0\x22",
    "mp3": b"\xff\xfb\x90\x64",
    "aac": b"\xff\xf1\x50\x80",
    "id3": b"ID3\x04\0\0\0\0\0\0",
    "caf": b"caff\0\x01\0\0",
}
"""Not that of AMR: to it, any bytes are sound."""


def read(path: Path) -> Media:
    with path.open("rb") as file:
        return probe.read(URL, file.fileno(), MediaLimits())


def recognised(path: Path) -> str | None:
    with path.open("rb") as file:
        container = containers.recognise(file.fileno())
    return container.name if container else None


@pytest.mark.parametrize("name", RECIPES)
def test_a_container_is_known_by_its_first_bytes(name: str, clips: Clips, tmp_path: Path) -> None:
    expected = {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg", "ogv": "ogg", "opus": "ogg"}
    suffix = name.rpartition(".")[2]
    known = {**expected, "wmv": "asf", "wma": "asf"}.get(suffix, suffix)
    assert recognised(write(tmp_path / "nameless", clips(name).read_bytes())) == known


def test_what_follows_a_long_tag_is_looked_at(clips: Clips, tmp_path: Path) -> None:
    tag = b"ID3\x04\0\0\0\0\x4e\x10" + b"\0" * 10_000
    for name, known in {"mp3.mp3": "mp3", "aac.aac": "aac", "flac.flac": "flac"}.items():
        path = write(tmp_path / name, tag + clips(name).read_bytes())
        assert recognised(path) == known
        assert read(path).duration == pytest.approx(2, abs=0.1)


def test_a_recording_may_begin_inside_a_packet(clips: Clips, tmp_path: Path) -> None:
    path = write(tmp_path / "cut.ts", clips("h264.ts").read_bytes()[100:])
    assert recognised(path) == "mpegts"
    assert read(path).video is not None


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_names_other_files_is_refused(name: str, tmp_path: Path, clips: Clips) -> None:
    data = PLAYLISTS[name].replace(b"{}", os.fsencode(clips("h264.mp4")))
    path = write(tmp_path / "list", data)
    assert recognised(path) is None
    with pytest.raises(TaskFailed) as refused:
        read(path)
    assert refused.value.message == NOT_VALID


async def test_a_playlist_behind_the_first_bytes_of_a_container_opens_nothing(
    tmp_path: Path, clips: Clips
) -> None:
    other = os.fsencode(clips("h264.mp4"))
    async with children(warm=("tasks",)) as decoders:
        for beginning in BEGINNINGS.values():
            for playlist in PLAYLISTS.values():
                data = beginning + b"\n" + playlist.replace(b"{}", other)
                film = source(tmp_path / "film", data)
                with pytest.raises(TaskFailed):
                    await call(decoders, probe.read, URL, film, MediaLimits())


def test_a_film_whose_frames_are_said_to_be_in_another_file_is_refused(
    tmp_path: Path, clips: Clips
) -> None:
    """QuickTime lets a track refer to a file by its name, as the tapes of an edited film."""
    other = clips("h264.mov")
    path = write(tmp_path / "refers.mov", refer(other.read_bytes(), bytes(other)))
    with pytest.raises(TaskFailed) as refused:
        read(path)
    assert refused.value.message == NOT_VALID


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"hello", b"ID3", b"\xff\xfb", b"RIFF", b"\x47", b"\x47" * 50]
)
def test_what_is_no_media_file_is_refused_in_plain_words(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as refused:
        read(write(tmp_path / "film.mp4", data))
    assert refused.value.message == NOT_VALID


@pytest.mark.parametrize("wanted", ["video", "audio"])
def test_the_words_say_what_was_wanted(wanted: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", b"hello")
    with path.open("rb") as file, pytest.raises(TaskFailed, match=f"not a valid {wanted} file"):
        probe.read(URL, file.fileno(), MediaLimits(), wanted)


async def test_a_cut_file_is_read_or_refused_and_never_a_bug(clips: Clips, tmp_path: Path) -> None:
    async with children(warm=("tasks",)) as decoders:
        for name in RECIPES:
            data = clips(name).read_bytes()
            for share in (0.02, 0.5, 0.95):
                film = source(tmp_path / "film", data[: int(len(data) * share)])
                try:
                    media = await call(decoders, probe.read, URL, film, MediaLimits())
                except TaskFailed:
                    continue
                assert media.size == film.size


def test_a_film_without_its_index_is_refused(clips: Clips, tmp_path: Path) -> None:
    data = clips("h264.mp4").read_bytes()
    path = write(tmp_path / "cut.mp4", data[: data.index(b"moov") + 100])
    with pytest.raises(TaskFailed) as refused:
        read(path)
    assert refused.value.message == NOT_VALID


def test_a_picture_is_no_film(tmp_path: Path) -> None:
    for brand in (b"avif", b"heic", b"mif1"):
        assert containers.sniff(b"\0\0\0\x18ftyp" + brand) is None
    assert containers.sniff(b"\x89PNG\r\n\x1a\n") is None
    assert containers.sniff(b"\xff\xd8\xff\xe0\0\x10JFIF") is None


def test_noise_is_rarely_taken_for_sound(clips: Clips, tmp_path: Path) -> None:
    path = clips("noise.raw", *SOUND, "-f", "s16le")
    assert recognised(path) is None


def refer(film: bytes, name: bytes) -> bytes:
    """The film with each track's data reference made an alias to a file of that name."""
    alias = bytearray(150 + 4 + len(name) + len(name) % 2)
    alias[10:11] = b"\x01"
    alias[-(4 + len(name) + len(name) % 2) :] = (
        b"\0\x02" + len(name).to_bytes(2, "big") + name + b"\0" * (len(name) % 2)
    )
    box = (12 + len(alias)).to_bytes(4, "big") + b"alis\0\0\0\0" + alias
    parents = [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"]
    return _replace_references(film, parents, box)


def _replace_references(boxes: bytes, parents: list[bytes], reference: bytes) -> bytes:
    made, at = b"", 0
    while at + 8 <= len(boxes):
        size = int.from_bytes(boxes[at : at + 4], "big")
        kind, inner = boxes[at + 4 : at + 8], boxes[at + 8 : at + size]
        if parents and kind == parents[0]:
            head = inner[:8] if kind == b"dref" else b""
            inner = head + _replace_references(inner[len(head) :], parents[1:], reference)
            made += (8 + len(inner)).to_bytes(4, "big") + kind + inner
        else:
            made += boxes[at : at + size] if parents else reference
        at += size
    return made
