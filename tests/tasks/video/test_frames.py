"""The frame that is seen at a time is found exactly, wherever key frames are."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import pytest

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.toolkit.video.frames import open_film
from tests.support.clips import BOTH, PICTURE, RECIPES, Clips
from tests.support.pictures import URL, write

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "25", "-bf", "3")
OPEN = (*BOTH, *X264, "-x264-params", "open-gop=1")
FILMS: dict[str, Sequence[str]] = {
    **{name: arguments for name, arguments in RECIPES.items() if arguments[3] == PICTURE[3]},
    "b.mp4": (*BOTH, *X264),
    "b.mkv": (*BOTH, *X264),
    "open.mp4": OPEN,
    "open.ts": OPEN,
    "refresh.ts": (*PICTURE, *X264, "-x264-params", "intra-refresh=1"),
    "hevc.mp4": (*PICTURE, "-c:v", "libx265", "-x265-params", "log-level=none:keyint=20"),
    "av1.mp4": (*PICTURE, "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime"),
    "b.mpg": (*PICTURE, "-c:v", "mpeg2video", "-bf", "2", "-f", "vob"),
    "uneven.mp4": (*PICTURE, *X264, "-vf", "select='not(mod(n,7))+lt(n,9)'", "-fps_mode", "vfr"),
    "late.mkv": (*BOTH, *X264, "-vf", "setpts=PTS+0.5/TB"),
}


def pixels(frame: Any) -> bytes:
    return bytes(frame.to_ndarray(format="gray").tobytes())


def all_frames(path: Path) -> list[tuple[float, bytes]]:
    """Each frame with its time, when the whole film is decoded from its start."""
    with av.open(str(path)) as film:
        start = (film.start_time or 0) / av.time_base
        frames = film.decode(film.streams.video[0])
        return [(frame.time - start, pixels(frame)) for frame in frames]


@pytest.mark.parametrize("order", ["rising", "any"])
@pytest.mark.parametrize("name", FILMS)
def test_each_time_has_its_frame(name: str, order: str, clips: Clips) -> None:
    path = clips(name, *FILMS[name])
    frames = all_frames(path)
    times = [random.Random(7).uniform(-0.1, 2.2) for _ in range(30)]
    with path.open("rb") as file, open_film(URL, file.fileno(), MediaLimits()) as film:
        assert film.duration is not None
        for seconds in sorted(times) if order == "rising" else times:
            shown = min(seconds, film.duration) + 1e-6
            seen = [data for begins, data in frames if begins <= shown] or [frames[0][1]]
            assert pixels(film.frame_at(seconds)) == seen[-1], seconds


def test_the_last_frame_is_seen_beyond_the_end(clips: Clips) -> None:
    path = clips("h264.mp4")
    with path.open("rb") as file, open_film(URL, file.fileno(), MediaLimits()) as film:
        for seconds in (1.99, 2.0, 5.0, 1e6):
            assert film.frame_at(seconds).time == pytest.approx(1.96)


def test_a_film_whose_end_is_missing_shows_the_last_frame_there_is(
    clips: Clips, tmp_path: Path
) -> None:
    whole = clips("front.mp4", *BOTH, *X264, "-movflags", "faststart").read_bytes()
    path = write(tmp_path / "cut.mp4", whole[: len(whole) * 2 // 3])
    with path.open("rb") as file, open_film(URL, file.fileno(), MediaLimits()) as film:
        assert film.frame_at(0.4).time == pytest.approx(0.4)
        assert 0.5 < film.frame_at(1.9).time < 1.9


def test_a_film_of_which_no_frame_can_be_decoded_is_refused(clips: Clips, tmp_path: Path) -> None:
    data = clips("h264.mp4").read_bytes()
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path = write(tmp_path / "zeros.mp4", data[:start] + bytes(end - start) + data[end:])
    with (
        path.open("rb") as file,
        pytest.raises(TaskFailed, match="is not a valid video file"),
        open_film(URL, file.fileno(), MediaLimits()) as film,
    ):
        film.frame_at(0)
