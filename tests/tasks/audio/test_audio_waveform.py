"""audio.waveform: where the sound is in the picture and in the numbers, and what is refused."""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from pyvips import Image

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.audio.waveform import WaveformParams, render, waveform
from tasks.toolkit.audio.peaks import Bins, Extremes
from tests.support.clips import SOUND, Clips
from tests.support.paths import MEDIA
from tests.support.pictures import LIMITS, URL, write
from tests.support.studio import open_studio, url
from tests.tasks.workbench import refusal

STEPS = "aevalsrc='lt(t,1)*0.25*sin(2*PI*2000*t)+gte(t,1)*sin(2*PI*2000*t)':d=2:s=48000"
"""A second of a soft tone, a second of a loud one."""


def drawn(path: Path, limits: MediaLimits | None = None, **params: Any) -> bytes:
    asked = msgspec.convert({"url": URL, **params}, WaveformParams)
    with path.open("rb") as source, tempfile.TemporaryFile() as output:
        files = (source.fileno(), output.fileno())
        render(asked, limits or MediaLimits(), *files, lambda value: None)
        return os.pread(output.fileno(), 10_000_000, 0)


def picture(path: Path, **params: Any) -> Image:
    return Image.new_from_buffer(drawn(path, format="png", **params), "")


def numbers(path: Path, limits: MediaLimits | None = None, **params: Any) -> dict[str, Any]:
    told = json.loads(drawn(path, limits, format="json", **params))
    assert isinstance(told, dict)
    return told


def refusal_of(path: Path, limits: MediaLimits | None = None, **params: Any) -> str:
    with pytest.raises(TaskFailed) as refused:
        drawn(path, limits, **params)
    return refused.value.message


def heights(image: Image, paper: Sequence[int] = (255, 255, 255)) -> list[int]:
    """How many pixels of each column are not paper."""
    marked = (image.numpy() != np.array(paper)).any(axis=2)
    return [int(count) for count in marked.sum(axis=0)]


@pytest.fixture
def steps(clips: Clips) -> Path:
    return clips("steps.wav", "-f", "lavfi", "-i", STEPS)


async def test_a_task_makes_a_jpeg_of_1024_by_60_in_black_on_white(
    steps: Path, tmp_path: Path
) -> None:
    async with open_studio(tmp_path) as studio:
        result = await studio.run(waveform, {"url": url(steps)})
    assert (result.width, result.height, result.duration) == (1024, 60, 2.0)
    assert (result.content_type, result.output.filename) == ("image/jpeg", "output.jpg")
    image = Image.new_from_file(str(result.output.path))
    assert (image.width, image.height, image.get("vips-loader")) == (1024, 60, "jpegload")
    assert image(10, 2) == pytest.approx([255, 255, 255], abs=5)
    assert image(1000, 5) == pytest.approx([0, 0, 0], abs=5)


def test_columns_are_as_high_as_the_sound_swings(steps: Path) -> None:
    columns = heights(picture(steps, width=100, height=101))
    assert columns[5:45] == pytest.approx([26] * 40, abs=2)
    assert columns[55:95] == pytest.approx([101] * 40, abs=2)


def test_margins_are_left_free(steps: Path) -> None:
    image = picture(steps, width=100, height=101, vmargin=20).numpy()
    assert (image[:20] == 255).all()
    assert (image[-20:] == 255).all()
    assert (image[20:22, 60:90] == 0).all()
    assert (image[79:81, 60:90] == 0).all()


def test_colours_are_those_asked_for(steps: Path) -> None:
    image = picture(steps, fill="#ff8800", background="#002244")
    assert (image(1000, 30), image(5, 1)) == ([255, 136, 0], [0, 34, 68])


def test_colours_may_be_transparent(steps: Path) -> None:
    image = picture(steps, fill="#ff880080", background="#00224400")
    assert image.bands == 4
    assert (image(1000, 30), image(5, 1)[3]) == ([255, 136, 0, 128], 0)
    over = picture(steps, fill="#ff000080", background="#0000ff")
    assert over(1000, 30) == pytest.approx([128, 0, 127], abs=1)
    jpeg = Image.new_from_buffer(drawn(steps, fill="#000000", background="#ff000000"), "")
    assert jpeg(5, 1) == pytest.approx([255, 255, 255], abs=5)


def test_start_and_end_show_a_part(steps: Path) -> None:
    soft, loud = numbers(steps, width=4, end=0.5), numbers(steps, width=4, start=1.5)
    assert (soft["start"], soft["end"], loud["start"], loud["end"]) == (0, 0.5, 1.5, 2)
    assert np.array(soft["peaks"]) == pytest.approx(np.array([[-0.25, 0.25]] * 4), abs=0.02)
    assert np.array(loud["peaks"]) == pytest.approx(np.array([[-1, 1]] * 4), abs=0.02)
    both = numbers(steps, width=2, start=0.9, end=1.1)["peaks"]
    assert [high for _, high in both] == pytest.approx([0.25, 1], abs=0.02)


@pytest.mark.parametrize("name", ["mp3.mp3", "vorbis.ogg", "aac.m4a", "opus.opus", "h264.mkv"])
def test_a_part_of_a_compressed_sound_is_found_too(clips: Clips, name: str) -> None:
    shown = numbers(clips(name), width=3, start=1.7)
    assert shown["end"] == pytest.approx(2, abs=0.06)
    assert np.array(shown["peaks"]) == pytest.approx(np.array([[-0.125, 0.125]] * 3), abs=0.02)


@pytest.mark.parametrize(
    ("name", "encoder", "full"),
    [
        ("loud-8.wav", ("-c:a", "pcm_u8"), 0.5),
        ("loud-24.wav", ("-c:a", "pcm_s24le", "-ar", "96000"), 0.5),
        ("loud-float.wav", ("-c:a", "pcm_f32le"), 0.5),
        ("loud-double.wav", ("-c:a", "pcm_f64le"), 0.5),
        ("loud-planar.flac", ("-c:a", "flac", "-ac", "2"), 0.354),  # as ffmpeg shares mono out
        ("loud-surround.mka", ("-c:a", "ac3", "-ac", "6"), 0.5),
    ],
)
def test_each_kind_of_samples_has_the_same_scale(
    clips: Clips, name: str, encoder: tuple[str, ...], full: float
) -> None:
    source = clips(name, *SOUND, "-af", "volume=4", *encoder)
    shown = np.array(numbers(source, width=10)["peaks"])
    assert shown[:, 1].max() == pytest.approx(full, abs=0.02)
    assert shown[:, 0].min() == pytest.approx(-full, abs=0.02)


def test_each_channel_is_seen(clips: Clips) -> None:
    opposite = ("-f", "lavfi", "-i", "aevalsrc='sin(880*t)|-sin(880*t)|0.1*sin(880*t)':d=1")
    shown = np.array(numbers(clips("opposite.wav", *opposite), width=10)["peaks"])
    assert shown == pytest.approx(np.array([[-1, 1]] * 10), abs=0.05)


def test_silence_is_a_line(clips: Clips) -> None:
    silent = clips("silent.wav", "-f", "lavfi", "-i", "anullsrc=d=1")
    image = picture(silent, width=50, height=20)
    assert heights(image) == [1] * 50
    assert image(0, 10) == [0, 0, 0]


def test_fewer_samples_than_columns_are_a_line_without_gaps(steps: Path) -> None:
    image = picture(steps, start=1.0, end=1.01, width=2000, height=60).numpy()[:, :, 0]
    for column, following in zip(image.T, image.T[1:], strict=False):
        assert ((column < 200) & (following < 200)).any()


def test_of_a_film_it_is_the_sound(clips: Clips) -> None:
    columns = heights(picture(MEDIA / "bigbuckbunny.mp4", width=200, height=100))
    assert max(columns[100:140]) > max(columns[20:40])


def test_sound_that_comes_late_is_shown_late(clips: Clips) -> None:
    late = ("-f", "lavfi", "-i", "testsrc2=s=32x32:d=2", "-itsoffset", "1", *SOUND[:2])
    source = clips("late.mkv", *late, "-i", "sine=d=1", "-c:a", "pcm_s16le")
    shown = numbers(source, width=4)["peaks"]
    assert [high > 0.1 for _, high in shown] == [False, False, True, True]


def test_bins_hold_all_extremes_however_long_the_sound_is() -> None:
    rng = np.random.default_rng(1)
    sound = rng.uniform(-1, 1, 100_003).astype(np.float32)
    bins = Bins(most=64)
    for piece in np.array_split(sound, 37):
        bins.add(np.stack([piece, piece]))
    assert bins.samples == sound.size
    low, high = bins.steps(8)
    assert (low.min(), high.max()) == (sound.min(), sound.max())
    marked = np.zeros(sound.size, np.float32)
    marked[60_000] = 1
    assert _places_of(marked) == [4]


def _places_of(sound: Extremes) -> list[int]:
    bins = Bins(most=64)
    bins.add(np.stack([sound, sound]))
    return [int(place) for place in np.flatnonzero(bins.steps(8)[1])]


def test_numbers_that_are_none_are_silence(clips: Clips, tmp_path: Path) -> None:
    data = bytearray(clips("float.wav", *SOUND, "-c:a", "pcm_f32le").read_bytes())
    data[1000:1012] = np.array([np.nan, np.inf, -np.inf], "<f4").tobytes()
    shown = np.array(numbers(write(tmp_path / "nan.wav", bytes(data)), width=10)["peaks"])
    assert list(shown[0]) == [-1, 1]
    assert np.isfinite(shown).all()


@pytest.mark.parametrize("name", ["flac.flac", "pcm.aiff", "aac.m4a", "vorbis.ogg"])
def test_what_is_cut_off_is_refused(clips: Clips, tmp_path: Path, name: str) -> None:
    data = clips(name).read_bytes()
    cut = write(tmp_path / "cut", data[: len(data) // 4])
    assert f"File '{URL}' is not a valid audio file" in refusal_of(cut)


def test_what_is_no_sound_is_refused(clips: Clips, tmp_path: Path) -> None:
    assert refusal_of(clips("moving.gif")) == f"File '{URL}' has no audio stream"
    for data in (b"", b"#EXTM3U\nfile:///etc/passwd\n", clips("pcm.wav").read_bytes()[:44]):
        broken = refusal_of(write(tmp_path / "sound", data))
        assert broken == f"File '{URL}' is not a valid audio file"


def test_a_part_that_is_not_there_is_refused(clips: Clips) -> None:
    beyond = refusal_of(clips("pcm.wav"), start=3)
    assert beyond == "start = 3 lies beyond the end, at 2 seconds"
    assert refusal_of(clips("pcm.wav"), start=1, end=1) == "end = 1 must lie after start = 1"


def test_limits_that_are_hit_name_themselves(clips: Clips) -> None:
    low = MediaLimits(max_duration_seconds=1)
    assert "more than the limit of 1 (max_duration_seconds)" in refusal_of(clips("pcm.wav"), low)
    assert refusal(waveform, {}, LIMITS, url=URL, width=16383, height=16383) == (
        "The waveform has 16383x16383 pixels, more than the limit of 100000000 (max_pixels)"
    )
    assert refusal(waveform, {}, LIMITS, url=URL, height=60, vmargin=30) == (
        "vmargin = 30 leaves nothing of height = 60"
    )


def test_a_jump_in_time_is_silence_as_far_as_the_limit_allows(clips: Clips) -> None:
    jump = ("-f", "lavfi", "-i", "sine=d=2,asetpts=PTS+gt(T\\,1)*30/TB", "-c:a", "pcm_s16le")
    source = clips("jump.mka", *jump, "-live", "1")
    assert "(max_duration_seconds)" in refusal_of(source, MediaLimits(max_duration_seconds=20))
    shown = numbers(source, width=32)
    assert shown["end"] == pytest.approx(32, abs=0.2)
    loud = [number for number, (_, high) in enumerate(shown["peaks"]) if high > 0.1]
    assert (loud[0], loud[-1]) == (0, 31)
    assert not {*range(3, 29)} & {*loud}


async def test_a_long_one_tells_how_far_it_is(clips: Clips, tmp_path: Path) -> None:
    source = clips("long.flac", "-f", "lavfi", "-i", "sine=r=8000:d=1500")
    async with open_studio(tmp_path) as studio:
        result = await studio.run(waveform, {"url": url(source)})
        told = studio.told
    assert result.duration == 1500
    fractions = [progress["fraction"] for progress in told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 1
    for each in told:
        assert each["out_time"] == pytest.approx(each["fraction"] * 1500, abs=0.1)
    assert (fractions[-1], told[-1]["out_time"]) == (1, 1500)
    assert told[-1]["speed"] > 1
