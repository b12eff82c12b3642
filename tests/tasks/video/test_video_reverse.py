"""video.reverse: backwards, frame by frame, however many pieces that takes."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from dragon.errors import TaskFailed
from dragon.task import Context, MediaLimits, Source, task
from tasks.toolkit.geometry import Size
from tasks.toolkit.media import probe
from tasks.toolkit.video.clips import Clip
from tasks.video.reverse import Reversed, ReverseParams, pieces, reverse, reverse_within
from tests.support.clips import PICTURE, Clips
from tests.support.studio import Studio, url

X264 = ("-c:v", "libx264", "-preset", "ultrafast")


async def reverse_within_little(params: ReverseParams, ctx: Context) -> Reversed:
    """As reverse does it, with memory for a dozen frames."""
    return await reverse_within(params, ctx, 160 * 90 * 3 // 2 * 13)


task("video.reverse")(reverse_within_little)


async def made(studio: Studio, path: Path, **params: Any) -> Reversed:
    return await studio.run(reverse, {"url": url(path), **params})


def brightness(path: Path) -> tuple[list[float], list[float]]:
    """The mean grey of each frame, and when it is shown."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    greys = [float(frame.to_ndarray(format="gray").mean()) for frame in frames]
    return greys, [float(frame.time or 0) for frame in frames]


def ramp(directory: Path, size: str = "160x90", seconds: int = 2, rate: str = "25") -> Path:
    """A video that becomes brighter with each frame."""
    grow = f"geq=lum='16+200*N/({seconds}*{rate})':cb=128:cr=128"
    graph = f"color=black:size={size}:rate={rate}:duration={seconds},{grow}"
    return Clips(directory)("ramp.mp4", "-f", "lavfi", "-i", graph, *X264, "-g", "10")


def clip_of(path: Path) -> Clip:
    with path.open("rb") as source:
        media = probe.read("http://x/", source.fileno(), MediaLimits(), "video")
    assert media.video is not None
    found = Source(url="http://x/", path=path, size=media.size)
    return Clip(
        source=found, media=media, video=media.video, start=None, end=None, seconds=media.duration
    )


async def test_the_frames_come_in_the_opposite_order_at_the_same_times(
    studio: Studio, tmp_path: Path
) -> None:
    source = ramp(tmp_path, rate="30000/1001")
    result = await made(studio, source, crf=5)
    before, times = brightness(source)
    after, new_times = brightness(result.output.path)
    assert after == pytest.approx(before[::-1], abs=3)
    assert new_times == pytest.approx(times, abs=0.001)
    assert result.duration == pytest.approx(2, abs=0.01)


async def test_in_many_pieces_no_frame_is_lost_or_doubled(studio: Studio, tmp_path: Path) -> None:
    source = ramp(tmp_path, rate="30000/1001")
    result = await studio.run(reverse_within_little, {"url": url(source), "crf": 5})
    before, times = brightness(source)
    after, new_times = brightness(result.output.path)
    assert after == pytest.approx(before[::-1], abs=3)
    assert new_times == pytest.approx(times, abs=0.001)
    fractions = [told["fraction"] for told in studio.told]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 5


def test_pieces_cover_the_whole_once_and_take_little_memory(clips: Clips) -> None:
    clip = clip_of(clips("h264.mp4"))
    found = list(pieces(clip, Size(160, 90), 160 * 90 * 15))
    assert len(found) > 5
    ends = [piece.clip.end for piece in found]
    assert ends[0] is None
    assert ends[1:] == [piece.clip.start for piece in found[:-1]]
    assert found[-1].clip.start is None
    assert [piece.begin for piece in found[1:]] == [piece.end for piece in found[:-1]]
    for piece in found:
        assert (piece.clip.seconds or 0) * 25 < 10.01


async def test_size_codec_and_bitrate_are_as_asked(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), width=60, height=60, crop=True)
    with av.open(str(result.output.path)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (60, 60)
        assert not file.streams.audio
    sizes = [
        (await made(studio, clips("h264.mp4"), **asked)).output.path.stat().st_size
        for asked in ({}, {"video_bitrate": 20}, {"crf": 40}, {"video_codec": "hevc", "crf": 40})
    ]
    assert sizes[0] > max(sizes[1:])


async def test_gop_sets_the_steps_between_key_frames(studio: Studio, clips: Clips) -> None:
    result = await made(studio, clips("h264.mp4"), gop=20)
    with av.open(str(result.output.path)) as file:
        keys = [number for number, frame in enumerate(file.decode(video=0)) if frame.key_frame]
    assert keys == [0, 20, 40]


async def test_frames_at_unequal_times_are_shown_as_long(studio: Studio, tmp_path: Path) -> None:
    """The first second in two frames, the second one in 25: backwards, the last is the slow one."""
    grow = "geq=lum='16+200*N/50':cb=128:cr=128,select='not(lt(n,25)*mod(n,12))'"
    graph = f"color=black:size=64x64:rate=25:duration=2,{grow}"
    lavfi = ("-f", "lavfi", "-i", graph, "-fps_mode", "vfr", *X264)
    source = Clips(tmp_path)("slow.mkv", *lavfi, "-crf", "5")
    result = await made(studio, source, crf=5)
    greys, times = brightness(result.output.path)
    assert result.duration == pytest.approx(2, abs=0.05)
    shown = dict(zip((round(time, 2) for time in times), greys, strict=True))
    assert shown[0.0] > 200
    assert shown[1.2] == pytest.approx(shown[1.4], abs=2)
    assert max(after - before for before, after in pairwise(greys)) < 3


async def test_where_only_sound_is_left_there_is_nothing_to_turn(
    studio: Studio, tmp_path: Path
) -> None:
    sound = ("-f", "lavfi", "-i", "sine=duration=6")
    source = Clips(tmp_path)("long.mkv", *PICTURE, *sound, *X264, "-c:a", "aac")
    result = await studio.run(reverse_within_little, {"url": url(source)})
    assert len(brightness(result.output.path)[0]) == 50
    assert result.duration == pytest.approx(2, abs=0.05)


async def test_what_is_no_video_or_cut_off_is_refused(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mkv"
    whole = clips("h264.mkv").read_bytes()
    cut.write_bytes(whole[: len(whole) // 3])
    for source in (clips("mp3.mp3"), cut):
        with pytest.raises(TaskFailed, match=r"no video stream|not a valid video file"):
            await made(studio, source)
