"""video.preview makes a storyboard: tiles in one picture, and a track that tells where they are."""

import re
from typing import Any

import pytest

from tasks.toolkit.geometry import Size
from tasks.toolkit.pictures.grids import grid_of
from tasks.video.preview import preview, web_vtt
from tests.support.clips import Clips
from tests.support.paths import MEDIA
from tests.support.pictures import URL
from tests.tasks.video.test_video_strip import GREYS
from tests.tasks.workbench import make, refusal

CUE = re.compile(r"^([\d:.]+) --> ([\d:.]+)\n(.+)#xywh=(\d+),(\d+),(\d+),(\d+)$", re.MULTILINE)


@pytest.fixture
def greys(clips: Clips) -> bytes:
    """Twenty frames of 0.1 s, each brighter by 12 than the one before it."""
    encoder = ("-c:v", "ffv1", "-pix_fmt", "gray")
    return clips("greys.mkv", "-f", "lavfi", "-i", GREYS, *encoder).read_bytes()


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


class Board:
    """What video.preview made: its result, the picture, and the cues of the track."""

    def __init__(self, film: bytes, **params: Any) -> None:
        one = make(preview, {URL: film}, url=URL, **params)
        self.result, self.image, self.told = one.result, one.image, one.told
        self.text = one.files["track"].decode()
        found = CUE.findall(self.text)
        self.spans = [(seconds(begins), seconds(ends)) for begins, ends, *_ in found]
        self.names = {name for _, _, name, *_ in found}
        self.places = [tuple(map(int, cue[3:])) for cue in found]
        size = Size(self.image.width, self.image.height)
        assert size == Size(self.result.width, self.result.height)
        assert len(found) == self.result.count

    def brightness(self) -> list[int]:
        """Which of the frames of GREYS each tile shows."""
        tiles = [self.image.crop(*place) for place in self.places]
        return [round((tile.avg() - 10) / 12) for tile in tiles]


def test_each_tile_shows_the_middle_of_its_cue(greys: bytes) -> None:
    board = Board(greys, interval=0.4, wrap=3, format="png", width=80)
    assert board.spans == [(0, 0.4), (0.4, 0.8), (0.8, 1.2), (1.2, 1.6), (1.6, 2)]
    assert board.brightness() == [2, 6, 10, 14, 18]
    assert board.places[:4] == [(0, 0, 80, 60), (80, 0, 80, 60), (160, 0, 80, 60), (0, 60, 80, 60)]
    assert (board.result.width, board.result.height) == (240, 120)
    assert (board.result.tile_width, board.result.tile_height) == (80, 60)
    assert (board.result.interval, board.result.duration) == (0.4, 2.0)


def test_the_last_cue_ends_with_the_video(greys: bytes) -> None:
    board = Board(greys, interval=0.75)
    assert board.spans == [(0, 0.75), (0.75, 1.5), (1.5, 2)]
    assert board.brightness() == [3, 11, 17]


def test_a_real_film_has_a_tile_a_second() -> None:
    board = Board((MEDIA / "bigbuckbunny.mp4").read_bytes())
    assert (board.result.count, board.result.interval) == (6, 1.0)
    assert (board.result.tile_width, board.result.tile_height) == (160, 90)
    assert board.spans[-1] == (5, 5.312)
    assert board.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n")
    assert board.names == {"output.jpg"}


def test_a_tile_that_is_repeated_keeps_its_place(clips: Clips) -> None:
    still = clips("still.mkv", "-f", "lavfi", "-i", "color=red:s=80x60:r=1:d=3", "-c:v", "ffv1")
    board = Board(still.read_bytes(), interval=0.25)
    assert board.result.count == 12
    assert len(set(board.places)) == 12


def test_tiles_have_the_size_asked_for(greys: bytes) -> None:
    board = Board(greys, width=None, height=30)
    assert (board.result.tile_width, board.result.tile_height) == (40, 30)
    board = Board(greys, width=50, height=20, crop=True, format="webp", quality=90)
    assert (board.result.tile_width, board.result.tile_height) == (50, 20)
    assert board.result.content_type == "image/webp"


def test_progress_is_told_and_ends_at_the_whole(greys: bytes) -> None:
    told = Board(greys, interval=0.2).told
    fractions = [value["fraction"] for value in told]
    assert fractions == sorted(fractions)
    assert {value["frames"] for value in told} >= set(range(1, 11))


def test_too_many_tiles_are_refused_with_the_interval_that_would_do(clips: Clips) -> None:
    long = clips(
        "long.mkv", "-f", "lavfi", "-i", "color=red:s=16x16:r=1:d=100", "-c:v", "ffv1"
    ).read_bytes()
    words = refusal(preview, {URL: long}, url=URL, interval=0.1)
    assert words == (
        "There would be 1000 tiles, more than 400: the interval must be at least 0.25 seconds"
    )
    assert Board(long).result.count == 100


def test_what_is_no_video_is_refused_in_plain_words() -> None:
    words = refusal(preview, {URL: b"#EXTM3U\nfile:///etc/passwd"}, url=URL)
    assert words == f"File '{URL}' is not a valid video file"


def test_a_track_may_be_hours_long() -> None:
    text = web_vtt("board.jpg", grid_of(Size(10, 10), 100, 10), 72.5, 7250)
    assert "02:00:50.000\nboard.jpg#xywh=90,90,10,10\n" in text
    assert "01:59:37.500 --> " in text
