"""video.convert: each parameter's effect, and what is refused."""

from pathlib import Path
from typing import Any

import av
import pytest
from pyvips import Image

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.video.convert import convert
from tests.support.clips import Clips
from tests.support.studio import Studio, url
from tests.tasks.video.converting_videos import X264, made, similarity, streams
from tests.tasks.video.watching_videos import beeps, flashes


async def test_by_default_it_makes_an_mp4_that_plays_everywhere(
    studio: Studio, clips: Clips
) -> None:
    source = clips("vp9.webm")
    result = await made(studio, source)
    found = streams(result.output.path)
    assert (result.content_type, result.output.filename) == ("video/mp4", "output.mp4")
    assert (result.width, result.height, result.frame_rate) == (160, 90, 25)
    assert (result.video_codec, result.audio_codec) == ("h264", "aac")
    assert result.duration == pytest.approx(2, abs=0.05)
    assert (found["video"], found["audio"], found["rates"]) == ("h264", ["aac"], [44100])
    assert (found["pixels"], len(found["times"])) == ("yuv420p", 50)
    assert similarity(result.output.path, source) > 0.97


async def test_it_is_as_good_as_plain_ffmpeg_with_the_same_settings(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    source = clips("h264.mp4")
    result = await made(studio, source, crf=30)
    plain = Clips(tmp_path)("plain.mp4", "-i", str(source), "-c:v", "libx264", "-crf", "30")
    ours, theirs = (similarity(path, source) for path in (result.output.path, plain))
    assert ours == pytest.approx(theirs, abs=0.003)


async def test_width_height_and_crop_set_the_size(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    sizes = []
    for box in ({"width": 80}, {"width": 60, "height": 60}, {"width": 60, "height": 60, "crop": 1}):
        result = await made(studio, source, end=0.2, **{**box, "crop": bool(box.get("crop"))})
        sizes.append((result.width, result.height))
        assert (result.original_width, result.original_height) == (160, 90)
    assert sizes == [(80, 44), (60, 34), (60, 60)]


@pytest.mark.parametrize(
    ("asked", "made_of"),
    [
        ({"format": "webm"}, ("video/webm", "vp9", "opus")),
        ({"video_codec": "vp9", "audio_codec": "vorbis"}, ("video/webm", "vp9", "vorbis")),
        ({"video_codec": "av1"}, ("video/mp4", "av1", "aac")),
        ({"video_codec": "hevc"}, ("video/mp4", "hevc", "aac")),
        ({"format": "mkv", "audio_codec": "vorbis"}, ("video/x-matroska", "h264", "vorbis")),
        ({"audio_codec": "mp2"}, ("video/x-matroska", "h264", "mp2")),
        ({"audio_codec": "mp3"}, ("video/mp4", "h264", "mp3")),
        ({"audio_codec": "wmav1"}, ("video/x-matroska", "h264", "wmav1")),
        ({"audio_codec": "wmav2"}, ("video/x-matroska", "h264", "wmav2")),
        ({"format": "gif"}, ("image/gif", "gif", None)),
    ],
)
async def test_each_codec_and_container(
    studio: Studio, clips: Clips, asked: dict[str, Any], made_of: tuple[str, str, str | None]
) -> None:
    result = await made(studio, clips("h264.mp4"), end=1, **asked)
    assert (result.content_type, result.video_codec, result.audio_codec) == made_of
    assert result.duration == pytest.approx(1, abs=0.1)
    assert similarity(result.output.path, clips("h264.mp4")) > 0.85


async def test_an_animated_webp_moves_as_the_video_does(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), format="webp", width=80, frame_rate=10)
    image = Image.new_from_file(str(result.output.path), n=-1)
    assert (image.get("n-pages"), image.width, image.get_page_height()) == (20, 80, 45)
    assert image.get("delay") == [100] * 20
    assert (result.duration, result.frame_rate) == (2, 10)


async def test_what_does_not_go_together_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="hevc does not go into webm, which holds vp9, av1"):
        await made(studio, clips("h264.mp4"), format="webm", video_codec="hevc")


async def test_quality_and_bitrates_change_the_size(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    sizes = [
        (await made(studio, source, **asked)).output.path.stat().st_size
        for asked in (
            {},
            {"crf": 40},
            {"video_bitrate": 20},
            {"audio_bitrate": 32},
            {"sample_rate": 22050, "mute": True},
        )
    ]
    assert all(sizes[0] > other * 1.1 for other in sizes[1:])


async def test_gop_sets_the_steps_between_key_frames(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), gop=20)
    assert streams(result.output.path)["keys"] == [0, 20, 40]


async def test_mute_and_silent_sources_have_no_sound(studio: Studio, clips: Clips) -> None:
    for source, asked in ((clips("h264.mp4"), {"mute": True}), (clips("moving.gif"), {})):
        result = await made(studio, source, **asked)
        assert result.audio_codec is None
        assert streams(result.output.path)["audio"] == []


async def test_start_and_end_cut_to_the_frame_and_keep_sound_in_time(
    studio: Studio, tmp_path: Path
) -> None:
    """Each second begins with a white frame and a beep, half a second after the start of a cut."""
    flash = "color=black:size=64x64:rate=25:duration=4,"
    flash += "drawbox=color=white:t=fill:enable='lt(mod(t,1),0.04)'"
    beep = "aevalsrc='sin(2000*t)*lt(mod(t,1),0.04)':d=4:s=44100"
    lavfi = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep)
    source = Clips(tmp_path)("beeps.mp4", *lavfi, *X264, "-c:a", "aac")
    result = await made(studio, source, start=1.5, end=3.2)
    seen, heard = flashes(result.output.path), beeps(result.output.path)
    assert result.duration == pytest.approx(1.7, abs=0.06)
    assert seen == pytest.approx([0.5, 1.5], abs=0.025)
    assert heard == pytest.approx([0.5, 1.5], abs=0.04)


async def test_a_start_beyond_the_end_is_refused(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match="start = 7 lies beyond the end, at 2 seconds"):
        await made(studio, clips("h264.mp4"), start=7)
    with pytest.raises(TaskFailed, match="end = 1 must lie after start = 1"):
        await made(studio, clips("h264.mp4"), start=1, end=1)


async def test_faststart_puts_the_index_first(studio: Studio, clips: Clips) -> None:
    for is_fast in (True, False):
        result = await made(studio, clips("h264.mp4"), faststart=is_fast)
        data = result.output.path.read_bytes()
        assert (data.index(b"moov") < data.index(b"mdat")) == is_fast


async def test_max_bytes_is_kept_in_two_passes(studio: Studio, clips: Clips) -> None:
    asked = {"width": 80, "end": 1, "mute": True, "max_bytes": 9000}
    for codec in ("h264", "hevc", "vp9"):
        result = await made(studio, clips("h264.mp4"), video_codec=codec, **asked)
        assert 4000 < result.output.path.stat().st_size <= 9000
    with pytest.raises(TaskFailed, match="max_bytes = 1000 is too little for 2 seconds"):
        await made(studio, clips("h264.mp4"), max_bytes=1000)


async def test_streams_that_fit_are_copied_and_others_are_not(studio: Studio, clips: Clips) -> None:
    source = clips("h264.mp4")
    for asked, is_copied in (({}, True), ({"width": 80}, False), ({"video_bitrate": 8}, False)):
        result = await made(studio, source, copy=True, **asked)
        assert (packets(result.output.path) == packets(source)) == is_copied


def packets(path: Path) -> list[int]:
    with av.open(str(path)) as file:
        return [packet.size for packet in file.demux(video=0) if packet.size]


async def test_limits_hold_before_anything_is_made(studio: Studio, clips: Clips) -> None:
    source = url(clips("h264.mp4"))
    for limits, asked, words in (
        (MediaLimits(max_duration_seconds=1), {}, "max_duration_seconds"),
        (MediaLimits(max_video_frames=40), {}, "max_video_frames"),
        (MediaLimits(), {"width": 16000, "height": 9000}, "max_pixels"),
        (MediaLimits(max_frames=20), {"format": "gif"}, "max_frames"),
    ):
        with pytest.raises(TaskFailed, match=words):
            await studio.run(convert, {"url": source, **asked}, limits)
        assert studio.told == []


async def test_progress_is_told_from_real_figures(studio: Studio, clips: Clips) -> None:
    await made(studio, clips("h264.mp4"), video_codec="av1", width=80, end=1, max_bytes=9000)
    fractions = [told["fraction"] for told in studio.told]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    figures = {"fraction", "frames", "out_time", "speed", "seconds_left"}
    assert any(figures <= set(told) for told in studio.told)
