"""video.concat: videos of all kinds become one, with picture and sound in time."""

from pathlib import Path
from typing import Any

import av
import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.video.concat import Concatenated, concat
from tests.support.clips import Clips
from tests.support.studio import Studio, url
from tests.tasks.video.watching_videos import beeps, flashes, picture

X264 = ("-c:v", "libx264", "-preset", "ultrafast")


async def made(studio: Studio, *paths: Path, **params: Any) -> Concatenated:
    return await studio.run(concat, {"urls": list(map(url, paths)), **params})


def colour(directory: Path, name: str, size: str = "160x90", seconds: float = 1) -> Path:
    graph = f"color={name}:size={size}:rate=25:duration={seconds}"
    return Clips(directory)(f"{name}.mkv", "-f", "lavfi", "-i", graph, *X264)


async def test_videos_follow_each_other_in_their_order(studio: Studio, tmp_path: Path) -> None:
    paths = [colour(tmp_path, "red"), colour(tmp_path, "lime"), colour(tmp_path, "blue")]
    result = await made(studio, *paths)
    assert (result.width, result.height, result.frame_rate) == (160, 90, 25)
    assert (result.duration, result.starts) == (3, [0, 1, 2])
    for time, shown in ((0.5, [255, 0, 0]), (1.5, [0, 255, 0]), (2.5, [0, 0, 255])):
        found = picture(result.output.path, time).getpoint(80, 45)[:3]
        assert found == pytest.approx(shown, abs=6)


async def test_sound_stays_with_its_picture_over_many_joints(
    studio: Studio, tmp_path: Path
) -> None:
    """Each video has a white frame and a beep at its half, and sound longer than its picture."""
    flash = "color=black:size=64x64:rate=25:duration=1,"
    flash += "drawbox=color=white:t=fill:enable='between(t,0.5,0.53)'"
    beep = "aevalsrc='sin(2000*t)*between(t,0.5,0.54)':d=1.03:s=44100"
    lavfi = ("-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep)
    source = Clips(tmp_path)("beep.mp4", *lavfi, *X264, "-c:a", "aac")
    result = await made(studio, *[source] * 5)
    seen, heard = flashes(result.output.path), beeps(result.output.path)
    assert len(seen) == len(heard) == 5
    assert heard == pytest.approx(seen, abs=0.03)


async def test_sizes_rates_and_silence_are_made_alike(
    studio: Studio, clips: Clips, tmp_path: Path
) -> None:
    tall = colour(tmp_path, "red", "90x160")
    result = await made(studio, clips("h264.mp4"), tall, clips("mpeg2.mpg"), frame_rate=10)
    with av.open(str(result.output.path)) as file:
        assert [stream.channels for stream in file.streams.audio] == [2]
        assert (file.streams.video[0].width, file.streams.video[0].height) == (160, 90)
        times = [float(frame.time or 0) for frame in file.decode(video=0)]
    assert len(times) == pytest.approx(50, abs=1)
    # The tall one stands between black edges.
    frame = picture(result.output.path, result.starts[1] + 0.5)
    assert frame.getpoint(80, 45)[:3] == pytest.approx([255, 0, 0], abs=6)
    assert frame.getpoint(10, 45)[:3] == pytest.approx([0, 0, 0], abs=6)


async def test_width_height_and_crop(studio: Studio, clips: Clips, tmp_path: Path) -> None:
    tall = colour(tmp_path, "red", "90x160")
    result = await made(studio, clips("h264.mp4"), tall, width=80, height=80, crop=True, mute=True)
    assert (result.width, result.height) == (80, 80)
    frame = picture(result.output.path, result.starts[1] + 0.5)
    assert frame.getpoint(2, 2)[:3] == pytest.approx([255, 0, 0], abs=6)
    with av.open(str(result.output.path)) as file:
        assert not file.streams.audio


async def test_what_cannot_be_joined_is_named(studio: Studio, clips: Clips) -> None:
    with pytest.raises(TaskFailed, match=r"mp3.mp3' has no video stream"):
        await made(studio, clips("h264.mp4"), clips("mp3.mp3"))
    sources = {"urls": [url(clips("h264.mp4"))] * 3}
    with pytest.raises(TaskFailed, match=r"lasts 6 seconds.*max_duration_seconds"):
        await studio.run(concat, sources, MediaLimits(max_duration_seconds=5))
    with pytest.raises(TaskFailed, match=r"150 frames.*max_video_frames"):
        await studio.run(concat, sources, MediaLimits(max_video_frames=100))
