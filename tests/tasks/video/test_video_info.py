"""video.info tells what a video is."""

from pathlib import Path

import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.video.info import Info, inspect
from tests.support.clips import Clips
from tests.support.paths import MEDIA
from tests.support.pictures import URL, write


def info_of(path: Path) -> Info:
    with path.open("rb") as source:
        return inspect(URL, source.fileno(), MediaLimits())


def test_a_film_tells_its_size_length_and_codecs() -> None:
    assert info_of(MEDIA / "bigbuckbunny.mp4") == Info(
        content_type="video/mp4",
        width=1280,
        height=720,
        display_width=1280,
        display_height=720,
        duration=5.312,
        frame_rate=25.0,
        variable=False,
        alpha=False,
        rotation=0.0,
        bit_depth=8,
        hdr=False,
        video_codec="h264",
        audio_codec="aac",
        sample_rate=48000,
        channels=6,
    )


def test_a_film_shot_upright_tells_how_it_is_seen(clips: Clips, tmp_path: Path) -> None:
    plain = str(clips("h264.mp4"))
    turn = ("-display_rotation", "270", "-i", plain, "-c", "copy")
    told = info_of(Clips(tmp_path)("upright.mp4", *turn))
    assert (told.width, told.height, told.rotation) == (160, 90, 270.0)
    assert (told.display_width, told.display_height) == (90, 160)


def test_a_silent_film_has_nothing_to_tell_of_sound(clips: Clips) -> None:
    told = info_of(clips("moving.gif"))
    assert (told.content_type, told.video_codec) == ("image/gif", "gif")
    assert (told.audio_codec, told.sample_rate, told.channels) == (None, None, None)
    assert told.duration == pytest.approx(2)


def test_what_is_no_video_is_refused_in_plain_words(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as refused:
        info_of(clips("mp3.mp3"))
    assert refused.value.message == f"File '{URL}' has no video stream"
    with pytest.raises(TaskFailed) as refused:
        info_of(write(tmp_path / "film.mp4", b"hello"))
    assert refused.value.message == f"File '{URL}' is not a valid video file"
