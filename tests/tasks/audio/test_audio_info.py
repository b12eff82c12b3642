"""audio.info tells what a recording is."""

import struct
from pathlib import Path

import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.audio.info import Info, inspect
from tests.support.clips import SOUND, Clips
from tests.support.paths import MEDIA
from tests.support.pictures import URL, write

TAGS = ("-metadata", "title=Häst\n2", "-metadata", "artist=Bob", "-metadata", "encoded_by=Me")
COVER = ("-f", "lavfi", "-i", "color=red:s=32x32:r=25:d=0.04", "-map", "0", "-map", "1")


def info_of(path: Path, limits: MediaLimits | None = None) -> Info:
    with path.open("rb") as source:
        return inspect(URL, source.fileno(), limits or MediaLimits())


def refusal_of(path: Path, limits: MediaLimits | None = None) -> str:
    with pytest.raises(TaskFailed) as refused:
        info_of(path, limits)
    return refused.value.message


def test_a_recording_tells_all_of_itself(clips: Clips) -> None:
    song = clips("song.mp3", *SOUND, *COVER, *TAGS, "-c:v", "mjpeg", "-disposition:v", "1024")
    assert info_of(song) == Info(
        content_type="audio/mpeg",
        duration=2.0,
        codec="mp3",
        sample_rate=44100,
        channels=1,
        layout="mono",
        bit_rate=64000,
        bit_depth=None,
        tags={"title": "Häst 2", "artist": "Bob"},
        cover=True,
    )


@pytest.mark.parametrize(
    ("name", "content_type", "codec"),
    [
        ("vorbis.ogg", "audio/ogg", "vorbis"),
        ("opus.opus", "audio/ogg", "opus"),
        ("pcm.wav", "audio/wav", "pcm_s16le"),
        ("flac.flac", "audio/flac", "flac"),
        ("aac.aac", "audio/aac", "aac"),
        ("aac.m4a", "audio/mp4", "aac"),
        ("wma.wma", "audio/x-ms-wma", "wmav2"),
        ("pcm.aiff", "audio/aiff", "pcm_s16be"),
        ("amr.amr", "audio/amr", "amr_nb"),
        ("h264.mkv", "video/x-matroska", "mp3"),
    ],
)
def test_each_kind_of_file(clips: Clips, name: str, content_type: str, codec: str) -> None:
    told = info_of(clips(name))
    assert (told.content_type, told.codec) == (content_type, codec)
    assert told.duration == pytest.approx(2, abs=0.06)
    assert told.bit_rate is None or 4_000 < told.bit_rate < 800_000


@pytest.mark.parametrize(
    ("name", "encoder", "bits"),
    [
        ("8.wav", ("-c:a", "pcm_u8"), 8),
        ("24.wav", ("-c:a", "pcm_s24le"), 24),
        ("float.wav", ("-c:a", "pcm_f32le"), 32),
        ("16.flac", ("-sample_fmt", "s16"), 16),
        ("24.flac", ("-sample_fmt", "s32"), 24),
        ("alac.m4a", ("-c:a", "alac"), 16),
    ],
)
def test_what_loses_nothing_tells_how_fine_it_is(
    clips: Clips, name: str, encoder: tuple[str, ...], bits: int
) -> None:
    assert info_of(clips(name, *SOUND, *encoder)).bit_depth == bits


def test_the_sound_of_a_film_is_as_long_as_it_is_itself(clips: Clips) -> None:
    short = ("-f", "lavfi", "-i", "testsrc2=s=32x32:d=2", "-f", "lavfi", "-i", "sine=d=1")
    told = info_of(clips("short-sound.mp4", *short, "-c:a", "aac"))
    assert told.content_type == "video/mp4"
    assert told.duration == pytest.approx(1, abs=0.03)
    told = info_of(MEDIA / "bigbuckbunny.mp4")
    assert (told.sample_rate, told.channels, told.layout) == (48000, 6, "5.1")


def test_opus_lasts_as_long_as_it_plays(clips: Clips) -> None:
    opus = info_of(clips("opus.opus"))
    assert (opus.duration, info_of(clips("pcm.wav")).duration) == (2.0, 2.0)


def test_a_bit_rate_that_cannot_be_is_not_told(clips: Clips, tmp_path: Path) -> None:
    vorbis = bytearray(clips("vorbis.ogg").read_bytes())
    at = vorbis.index(b"\x01vorbis") + 7 + 9  # the bit rates: most, usual, least
    vorbis[at : at + 12] = struct.pack("<iii", -1, -2, -1)
    page = bytes(vorbis[:22]) + bytes(4) + bytes(vorbis[26 : at + 14])
    vorbis[22:26] = struct.pack("<I", _checksum(page))
    told = info_of(write(tmp_path / "negative.ogg", bytes(vorbis)))
    assert told.bit_rate is not None
    assert told.bit_rate < 200_000


def _checksum(page: bytes) -> int:
    """That of a page of Ogg."""
    rest = 0
    for byte in page:
        rest ^= byte << 24
        for _ in range(8):
            rest = (rest << 1 ^ (0x04C11DB7 if rest & 0x80000000 else 0)) & 0xFFFFFFFF
    return rest


def test_what_is_no_sound_is_refused_in_plain_words(clips: Clips, tmp_path: Path) -> None:
    assert refusal_of(clips("moving.gif")) == f"File '{URL}' has no audio stream"
    not_valid = f"File '{URL}' is not a valid audio file"
    wav = clips("pcm.wav").read_bytes()
    for data in (
        b"",
        b"hello",
        wav[:44],
        b"\xff\xfb\x90\x44" + b"hello" * 1000,
        clips("aac.m4a").read_bytes()[:5000],
        (MEDIA / "chelsea.png").read_bytes(),
        b"#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
    ):
        assert refusal_of(write(tmp_path / "sound", data)) == not_valid


def test_a_limit_that_is_hit_names_itself(clips: Clips) -> None:
    assert refusal_of(clips("pcm.wav"), MediaLimits(max_duration_seconds=1)) == (
        f"File '{URL}' lasts 2 seconds, more than the limit of 1 (max_duration_seconds)"
    )
    assert refusal_of(clips("h264.mp4"), MediaLimits(max_streams=1)) == (
        f"File '{URL}' has 2 streams, more than the limit of 1 (max_streams)"
    )
