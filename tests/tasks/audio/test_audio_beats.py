"""audio.beats finds beats within 50 ms, the first of each bar, and none where there are none."""

from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import pytest

from dragon.engine.isolation.pool import Decoders
from dragon.errors import TaskFailed
from dragon.task import File, MediaLimits, Source
from tasks import WARM, WARM_ENVIRONMENT
from tasks.audio.beats import Beats, find, read
from tasks.toolkit.music import rhythm
from tests.support import decoders
from tests.support.clips import run_ffmpeg
from tests.support.pictures import LIMITS
from tests.tasks import music
from tests.tasks.music import Music

URL = "http://files.com/music.mp3"
SECONDS = 12


@pytest.fixture
def told(tmp_path: Path) -> File:
    path = tmp_path / "beats.json"
    return File(name="beats", filename="beats.json", content_type="application/json", path=path)


def beats_of(path: Path, limits: MediaLimits = LIMITS) -> Beats:
    told = path.with_suffix(".json")
    with path.open("rb") as source, told.open("wb") as output:
        find(URL, source.fileno(), output.fileno(), limits, [].append)
    return msgspec.json.decode(told.read_bytes(), type=Beats)


def heard(made: Music, tmp_path: Path) -> Beats:
    return beats_of(made.write(tmp_path / "music.wav"))


def assert_same(found: list[float], expected: list[float]) -> None:
    """One for one, within 50 ms."""
    assert len(found) == len(expected)
    assert found == [pytest.approx(time, abs=0.05) for time in expected]


@pytest.mark.parametrize("bpm", [60, 97.5, 120, 144, 200])
def test_the_beats_of_a_click_track_are_its_clicks(bpm: float, tmp_path: Path) -> None:
    times = music.beats(bpm, SECONDS)
    found = heard(music.clicks(times, SECONDS), tmp_path)
    assert_same(found.beats, times)
    assert found.downbeats == []
    assert found.duration == SECONDS


@pytest.mark.parametrize("bpm", [72, 120])
@pytest.mark.parametrize("meter", [3, 4])
def test_downbeats_are_where_the_accents_are(bpm: float, meter: int, tmp_path: Path) -> None:
    times = music.beats(bpm, SECONDS)
    found = heard(music.clicks(times, SECONDS, accent=meter), tmp_path)
    assert_same(found.beats, times)
    assert_same(found.downbeats, times[::meter])


def test_a_track_that_begins_within_a_bar_has_its_downbeats_where_they_are(tmp_path: Path) -> None:
    times = music.beats(110, SECONDS, first=-1.0)
    downbeats = [time for time in times[::4] if time > 0]
    times = [time for time in times if time > 0]
    made = music.clicks(times, SECONDS)
    for time in downbeats:
        made.play(time, music.tone(1500, 0.03, 0.01))
    found = heard(made, tmp_path)
    assert_same(found.beats, times)
    assert_same(found.downbeats, downbeats)


@pytest.mark.parametrize("bpm", [75, 110, 174])
@pytest.mark.parametrize("meter", [3, 4])
def test_music_with_drums_bass_and_chords(bpm: float, meter: int, tmp_path: Path) -> None:
    times = music.beats(bpm, SECONDS)
    found = heard(music.song(times, SECONDS, meter), tmp_path)
    assert_same(found.beats, times)
    assert_same(found.downbeats, times[::meter])


def test_beats_follow_music_that_grows_faster(tmp_path: Path) -> None:
    times = [0.3]
    while times[-1] < SECONDS - 1:
        times.append(times[-1] + 0.6 * 0.992 ** len(times))
    assert_same(heard(music.clicks(times, SECONDS), tmp_path).beats, times)


def test_soft_music_is_heard_as_well_as_loud_music(tmp_path: Path) -> None:
    times = music.beats(120, SECONDS)
    soft = music.song(times, SECONDS)
    soft.samples *= 0.01
    assert_same(heard(soft, tmp_path).beats, times)


@pytest.mark.parametrize("seed", range(2))
def test_speech_and_noise_keep_no_beat(seed: int, tmp_path: Path) -> None:
    noise = Music(SECONDS)
    noise.samples += np.random.default_rng(seed).standard_normal(len(noise.samples)) * 0.1
    for made in (music.babble(SECONDS, seed), noise):
        found = heard(made, tmp_path)
        assert (found.beats, found.downbeats) == ([], [])
        assert found.duration == SECONDS


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.5, 5])
def test_silence_and_a_steady_tone_keep_no_beat(seconds: float, tmp_path: Path) -> None:
    steady = Music(seconds)
    steady.samples += 0.5 * np.sin(np.arange(len(steady.samples)) * 0.1)
    for made in (Music(seconds), steady):
        found = heard(made, tmp_path)
        assert found == Beats(beats=[], downbeats=[], duration=round(seconds))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.ogg", "libvorbis"),
        ("a.webm", "libopus"),
        ("a.flac", "flac"),
        ("a.mkv", "ac3"),
    ],
)
def test_no_format_moves_the_beats(name: str, codec: str, tmp_path: Path) -> None:
    times = music.beats(120, 8)
    wav = music.clicks(times, 8, accent=4).write(tmp_path / "music.wav")
    run_ffmpeg("-i", str(wav), "-ar", "48000", "-ac", "2", "-c:a", codec, str(tmp_path / name))
    found = beats_of(tmp_path / name)
    assert found.beats == [pytest.approx(time, abs=0.02) for time in times]
    assert found.duration == pytest.approx(8, abs=0.05)


def test_sound_that_begins_later_than_the_picture_has_its_beats_later(tmp_path: Path) -> None:
    times = music.beats(120, 8)
    wav = music.clicks(times, 8).write(tmp_path / "music.wav")
    picture = ("-f", "lavfi", "-i", "color=size=32x32:rate=25:duration=10")
    late = tmp_path / "late.mkv"
    run_ffmpeg(*picture, "-itsoffset", "1.5", "-i", str(wav), "-c:a", "pcm_s16le", str(late))
    found = beats_of(late)
    assert_same(found.beats, [time + 1.5 for time in times])
    assert found.duration in (9, 10)


def test_a_broken_middle_is_passed_over(tmp_path: Path) -> None:
    times = music.beats(120, SECONDS)
    wav = music.clicks(times, SECONDS).write(tmp_path / "music.wav")
    mp3 = tmp_path / "music.mp3"
    run_ffmpeg("-i", str(wav), "-b:a", "128k", str(mp3))
    data = bytearray(mp3.read_bytes())
    data[80_000:81_000] = bytes(1000)
    mp3.write_bytes(data)
    found = beats_of(mp3).beats
    assert len(found) == pytest.approx(len(times), abs=1)
    assert np.diff(found) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("data", [b"", b"no music", b"RIFF\0\0\0\0WAVEfmt ", b"OggS" + bytes(99)])
def test_a_broken_source_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp3"
    path.write_bytes(data)
    with pytest.raises(TaskFailed, match=rf"File '{URL}' is not a valid audio file"):
        beats_of(path)


def test_a_video_without_sound_is_named(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=size=32x32:rate=25:duration=1", str(path))
    with pytest.raises(TaskFailed, match=rf"File '{URL}' has no audio stream"):
        beats_of(path)


def test_what_lasts_too_long_is_refused_by_the_name_of_its_limit(tmp_path: Path) -> None:
    path = music.clicks(music.beats(120, 8), 8).write(tmp_path / "music.wav")
    words = r"lasts 8 seconds, more than the limit of 7 \(max_duration_seconds\)"
    with pytest.raises(TaskFailed, match=words):
        beats_of(path, msgspec.structs.replace(LIMITS, max_duration_seconds=7))


def test_what_does_not_tell_how_long_it_is_is_counted_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    run_ffmpeg("-f", "lavfi", "-i", "anullsrc=sample_rate=8000:duration=8", str(path))
    data = bytearray(path.read_bytes())
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])
    path.write_bytes(data)
    with pytest.raises(TaskFailed, match=r"lasts 8 seconds, more than the limit of 7 "):
        beats_of(path, msgspec.structs.replace(LIMITS, max_duration_seconds=7))


@pytest.mark.parametrize(
    ("rate", "words"), [(1, "max_duration_seconds"), (900, "1000 to 768000 are read")]
)
def test_a_low_sample_rate_does_not_unfold(rate: int, words: str, tmp_path: Path) -> None:
    path = music.clicks(music.beats(120, 8), 8).write(tmp_path / "music.wav")
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(TaskFailed, match=words):
        beats_of(path)


def test_beats_are_kept_for_minutes() -> None:
    made = music.song(music.beats(120, 60, first=0.25), 60).samples
    at_16_khz = np.interp(np.arange(960_000) * (music.RATE / 16_000), np.arange(len(made)), made)
    minute = np.asarray(at_16_khz, np.float32)
    found = rhythm.rhythm_of(minute for _ in range(3))
    assert len(found.beats) == pytest.approx(360, abs=2)
    assert found.seconds == 180


async def test_beats_are_found_inside_of_a_confined_child(tmp_path: Path, told: File) -> None:
    times = music.beats(120, 8)
    path = music.clicks(times, 8).write(tmp_path / "music.wav")
    source = Source(url=URL, path=path, size=path.stat().st_size)
    usual = decoders.settings(warm=WARM, environment=WARM_ENVIRONMENT, memory_bytes=2 * 1024**3)
    async with Decoders(usual) as children:
        progress: list[Any] = []
        await children.call(find, URL, source, told, LIMITS, progress.append, timeout_seconds=30)
    assert_same(read(told).beats, times)
    assert progress[-1] == {"fraction": 1.0, "out_time": 8.0, "seconds_left": 0.0}


async def test_how_far_it_is_in_long_music_is_told_while_it_is_heard(
    tmp_path: Path, told: File
) -> None:
    path = tmp_path / "long.mp3"
    tone = ("-f", "lavfi", "-i", "sine=frequency=220:beep_factor=4:duration=240")
    run_ffmpeg(*tone, "-ar", "16000", "-b:a", "32k", str(path))
    source = Source(url=URL, path=path, size=path.stat().st_size)
    usual = decoders.settings(warm=WARM, environment=WARM_ENVIRONMENT, memory_bytes=2 * 1024**3)
    progress: list[dict[str, float]] = []
    async with Decoders(usual) as children:
        began = monotonic()
        await children.call(find, URL, source, told, LIMITS, progress.append, timeout_seconds=60)
        took = monotonic() - began
    fractions = [value["fraction"] for value in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert min(took, 3) <= len(progress) <= 10 * took + 2


def test_what_no_decoder_of_ours_wrote_is_not_believed(told: File) -> None:
    for text in (b"", b"{}", b'{"beats": "x"}'):
        told.path.write_bytes(text)
        with pytest.raises(TaskFailed, match="unreadable beats"):
            read(told)
