"""audio.convert: each parameter's effect, what survives, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.audio.convert import convert
from tests.support.clips import SOUND, Clips
from tests.support.paths import MEDIA
from tests.support.pictures import write
from tests.support.studio import Studio, open_studio, url
from tests.support.waiting import DEADLINE_SECONDS
from tests.tasks.audio.converting_sounds import made, samples

TAGS = ("-metadata", "title=Häst", "-metadata", "artist=Bob", "-metadata", "encoded_by=Me")
COVER = ("-f", "lavfi", "-i", "color=red:s=32x32:r=25:d=0.04", "-map", "0", "-map", "1")
PICTURE = ("-c:v", "mjpeg", "-disposition:v", "attached_pic")
TWO_TONES = ("-f", "lavfi", "-i", "aevalsrc='0.5*sin(2*PI*t*if(lt(t,1),400,1200))':d=2:s=48000")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def studio(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    async with open_studio(tmp_path_factory.mktemp("studio")) as studio:
        yield studio


def pitch(sound: NDArray[Any], rate: int = 48000) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(sound)))) * rate / len(sound)


@pytest.mark.parametrize(
    ("codec", "content_type", "filename", "inside"),
    [
        ("mp3", "audio/mpeg", "output.mp3", "mp3"),
        ("vorbis", "audio/ogg", "output.ogg", "vorbis"),
        ("aac", "audio/mp4", "output.m4a", "aac"),
        ("opus", "audio/ogg; codecs=opus", "output.opus", "opus"),
        ("flac", "audio/flac", "output.flac", "flac"),
        ("wav", "audio/wav", "output.wav", "pcm_s16le"),
    ],
)
async def test_each_codec_plays_the_same_sound(
    studio: Studio, clips: Clips, codec: str, content_type: str, filename: str, inside: str
) -> None:
    source = clips("tones.aiff", *TWO_TONES)
    result = await made(studio, source, codec=codec)
    assert (result.content_type, result.output.filename) == (content_type, filename)
    assert result.output.content_type == content_type
    assert (result.codec, result.sample_rate, result.channels) == (inside, 48000, 1)
    assert result.duration == pytest.approx(2, abs=0.02)
    assert studio.told[-1]["fraction"] == 1
    played, meant = samples(result.output.path), samples(source)
    assert len(played) == pytest.approx(len(meant), abs=1200)
    assert played[1000:90000] == pytest.approx(meant[1000:90000], abs=0.15)
    if codec in ("flac", "wav"):
        assert np.array_equal(played, meant)


async def test_of_a_film_it_takes_the_sound(studio: Studio) -> None:
    result = await made(studio, MEDIA / "bigbuckbunny.mp4", end=1)
    assert (result.codec, result.channels, result.sample_rate) == ("mp3", 2, 48000)
    assert result.duration == pytest.approx(1, abs=0.03)
    with av.open(str(result.output.path)) as file:
        assert [stream.type for stream in file.streams] == ["audio"]


async def test_start_and_end_cut_to_the_sample(studio: Studio, clips: Clips) -> None:
    source = clips("tones.aiff", *TWO_TONES)
    result = await made(studio, source, codec="wav", start=0.9, end=1.3)
    assert result.duration == 0.4
    whole = samples(source)
    assert np.array_equal(samples(result.output.path), whole[43200:62400])
    late = await made(studio, source, start=1.5, end=9)
    assert late.duration == pytest.approx(0.5, abs=0.01)
    assert pitch(samples(late.output.path)) == pytest.approx(1200, abs=5)


async def test_a_piece_that_is_not_there_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="start = 10 lies beyond the end, at 2 seconds"):
        await made(studio, clips("pcm.wav"), start=10)
    with pytest.raises(TaskFailed, match="end = 1 must lie after start = 1"):
        await made(studio, clips("pcm.wav"), start=1, end=1)


async def test_what_has_that_codec_already_is_copied_unless_forced(
    studio: Studio, clips: Clips
) -> None:
    for name, codec in (("mp3.mp3", "mp3"), ("h264.mp4", "aac"), ("opus.opus", "opus")):
        copied = await made(studio, clips(name), codec=codec)
        assert _packets(copied.output.path) == _packets(clips(name))
    for changes in (
        {"force": True},
        {"bitrate": 32},
        {"channels": 2},
        {"end": 1.9},
    ):
        again = await made(studio, clips("mp3.mp3"), **changes)
        assert _packets(again.output.path) != _packets(clips("mp3.mp3"))
    enough = await made(studio, clips("mp3.mp3"), bitrate=64, sample_rate=44100, channels=1)
    assert _packets(enough.output.path) == _packets(clips("mp3.mp3"))
    assert len(samples(enough.output.path)) == len(samples(clips("mp3.mp3")))


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(audio=0)]


async def test_bitrate_rate_and_channels_are_as_asked_for(studio: Studio, clips: Clips) -> None:
    source = clips("pcm.wav")
    result = await made(studio, source, bitrate=32, sample_rate=22050, channels=2)
    assert (result.bit_rate, result.sample_rate, result.channels) == (32000, 22050, 2)
    assert pitch(samples(result.output.path)) == pytest.approx(440, abs=2)
    mono, twice = samples(source), samples(result.output.path)
    assert np.abs(twice).max() == pytest.approx(np.abs(mono).max(), rel=0.1)
    sizes = [
        (await made(studio, source, codec="opus", bitrate=bitrate)).output.path.stat().st_size
        for bitrate in (16, 128)
    ]
    assert sizes[0] * 3 < sizes[1]


async def test_what_a_codec_does_not_hold_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="sample_rate 44100 does not go into opus"):
        await made(studio, clips("pcm.wav"), codec="opus", sample_rate=44100)
    with pytest.raises(TaskFailed, match="6 channels do not go into mp3, which holds 2"):
        await made(studio, clips("pcm.wav"), channels=6)


@pytest.mark.parametrize(
    ("encoder", "codec", "inside", "rate", "bits"),
    [
        ("pcm_u8", "flac", "flac", 44100, 16),
        ("pcm_s24le", "flac", "flac", 96000, 24),
        ("pcm_s24le", "mp3", "mp3", 48000, None),
        ("pcm_f32le", "flac", "flac", 88200, 24),
    ],
)
async def test_fine_sound_stays_fine_where_the_codec_can(
    studio: Studio,
    clips: Clips,
    encoder: str,
    codec: str,
    inside: str,
    rate: int,
    bits: int | None,
) -> None:
    made_rate = {"pcm_u8": 44100, "pcm_s24le": 96000}.get(encoder, 88200)
    noise = ("-f", "lavfi", "-i", f"anoisesrc=d=0.3:a=0.2:r={made_rate}", "-c:a", encoder)
    source = clips(f"{encoder}.wav", *noise)
    result = await made(studio, source, codec=codec)
    assert (result.codec, result.sample_rate) == (inside, rate)
    if bits:
        step = 2.0 ** (1 - bits)
        meant = samples(source, made_rate)
        assert samples(result.output.path, rate) == pytest.approx(meant, abs=step)


async def test_surround_survives_where_the_codec_has_it(studio: Studio, clips: Clips) -> None:
    surround = clips("surround.mka", "-f", "lavfi", "-i", "sine=d=0.3", "-ac", "6", "-c:a", "ac3")
    channels = [
        (await made(studio, surround, codec=codec)).channels for codec in ("mp3", "opus", "flac")
    ]
    assert channels == [2, 6, 6]


@pytest.mark.parametrize("codec", ["mp3", "aac", "flac", "vorbis"])
async def test_title_artist_and_cover_survive(studio: Studio, clips: Clips, codec: str) -> None:
    source = clips("tagged.mp3", *SOUND, *COVER, *TAGS, *PICTURE)
    result = await made(studio, source, codec=codec)
    with av.open(str(result.output.path)) as file:
        stream = file.streams.audio[0]
        tags = {name.lower(): value for name, value in (stream.metadata | file.metadata).items()}
        covers = [stream.codec_context.codec.canonical_name for stream in file.streams.video]
    assert (tags["title"], tags["artist"]) == ("Häst", "Bob")
    assert not any("Me" in value for value in tags.values())
    assert covers == (["mjpeg"] if codec in ("mp3", "aac", "flac") else [])


@pytest.mark.parametrize("name", ["flac.flac", "vorbis.ogg"])
async def test_what_is_cut_off_is_refused(
    studio: Studio, clips: Clips, tmp_path: Path, name: str
) -> None:
    data = clips(name).read_bytes()
    cut = write(tmp_path / "cut", data[: len(data) // 4])
    with pytest.raises(TaskFailed, match="is not a valid audio file"):
        await made(studio, cut, codec="wav")


async def test_what_is_no_sound_is_refused(studio: Studio, clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match="has no audio stream"):
        await made(studio, clips("moving.gif"))
    for text in (b"", b"#EXTM3U\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd"):
        with pytest.raises(TaskFailed, match="is not a valid audio file"):
            await made(studio, write(tmp_path / "list", text))


async def test_a_limit_that_is_hit_names_itself(studio: Studio, clips: Clips) -> None:
    params = {"url": url(clips("pcm.wav"))}
    with pytest.raises(TaskFailed, match=r"2 seconds, more than the limit of 1 \(max_duration_s"):
        await studio.run(convert, params, MediaLimits(max_duration_seconds=1))


async def test_a_source_that_jumps_in_time_lasts_as_long_as_it_says(
    studio: Studio, clips: Clips
) -> None:
    jump = ("-f", "lavfi", "-i", "sine=d=2,asetpts=PTS+gt(T\\,1)*30/TB")
    source = clips("jump.mka", *jump, "-c:a", "pcm_s16le", "-live", "1")
    with pytest.raises(TaskFailed, match=r"more than the limit of 20 \(max_duration_s"):
        await studio.run(convert, {"url": url(source)}, MediaLimits(max_duration_seconds=20))
    result = await made(studio, source)
    assert result.duration == pytest.approx(32, abs=0.1)


async def test_cancelled_it_leaves_no_program_behind(studio: Studio, clips: Clips) -> None:
    source = clips("long.wav", "-f", "lavfi", "-i", "anoisesrc=r=8000:d=600")
    converting = asyncio.create_task(made(studio, source, codec="vorbis", loudness=-20))
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not _programs():
            await asyncio.sleep(0.01)
    converting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await converting
    assert not _programs()


def _programs() -> list[psutil.Process]:
    """This process's own, and none of a Dragon that other tests use."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.name().startswith("ffmpeg"):
                found.append(child)
    return found
