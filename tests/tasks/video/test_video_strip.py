"""video.strip puts frames of a video side by side."""

from pathlib import Path
from typing import Any

import pytest

from dragon.task import MediaLimits
from tasks.video.strip import strip
from tests.support.clips import PICTURE, Clips
from tests.support.pictures import URL, psnr
from tests.tasks.workbench import Made, make, refusal

GREYS = "nullsrc=size=80x60:rate=10:duration=2,format=gray,geq=lum='10+12*N'"


@pytest.fixture
def greys(clips: Clips) -> Path:
    """Twenty frames of 0.1 s, each brighter by 12 than the one before it."""
    encoder = ("-c:v", "ffv1", "-pix_fmt", "gray")
    return clips("greys.mkv", "-f", "lavfi", "-i", GREYS, *encoder)


def made(path: Path, **params: Any) -> Made:
    one = make(strip, {URL: path.read_bytes()}, url=URL, **params)
    assert (one.result.width, one.result.height) == (one.image.width, one.image.height)
    return one


def brightness(one: Made, width: int = 80) -> list[int]:
    """Which frame each section of one line is."""
    image = one.image
    middles = range(width // 2, image.width, width)
    return [round((image(x, image.height // 2)[0] - 10) / 12) for x in middles]


def test_frames_are_taken_at_equal_steps_from_the_first_to_the_last(greys: Path) -> None:
    one = made(greys, format="png")
    assert brightness(one) == [0, 2, 4, 6, 8, 11, 13, 15, 17, 19]
    assert (one.result.count, one.result.width, one.result.height) == (10, 800, 60)
    assert (one.result.original_width, one.result.original_height) == (80, 60)
    assert (one.result.duration, one.result.frame_rate) == (2.0, 10.0)
    assert one.result.content_type == "image/png"


@pytest.mark.parametrize(
    ("params", "frames"),
    [
        ({"count": 1}, [0]),
        ({"count": 2}, [0, 19]),
        ({"count": 3, "start": 0.5, "end": 1.5}, [5, 10, 15]),
        ({"count": 3, "start": 1}, [10, 15, 19]),
        ({"count": 5, "start": 1, "end": 1}, [10]),
        ({"count": 2, "start": 500}, [19]),
        ({"count": 2, "end": 500}, [0, 19]),
        ({"count": 20, "end": 1.95}, list(range(20))),
    ],
)
def test_start_end_and_count_choose_the_frames(
    params: dict[str, Any], frames: list[int], greys: Path
) -> None:
    one = made(greys, format="png", **params)
    assert brightness(one) == frames
    assert one.result.count == len(frames)


def test_a_frame_makes_one_section_though_it_is_seen_at_several_times(greys: Path) -> None:
    one = made(greys, count=50, format="png")
    assert one.result.count == 20
    assert brightness(one) == list(range(20))


def test_after_wrap_sections_a_new_line_starts(greys: Path) -> None:
    one = made(greys, count=5, wrap=2, end=1.9)
    assert (one.result.count, one.result.width, one.result.height) == (5, 160, 180)
    assert one.image(120, 170)[0] > 250


def test_sections_have_the_size_asked_for(greys: Path) -> None:
    fitted = made(greys, count=2, width=60, height=60, background="#ff0000", format="png")
    assert (fitted.result.width, fitted.result.height) == (120, 60)
    assert fitted.image(30, 3)[:3] == [255, 0, 0]
    assert fitted.image(30, 30)[:3] == pytest.approx([10] * 3, abs=1)
    cut = made(greys, count=2, width=60, height=60, crop=True, format="png")
    assert cut.image(30, 3) == pytest.approx([10] * 3, abs=1)
    assert made(greys, count=2, width=40).result.height == 30


def test_a_section_is_what_the_moment_looks_like(clips: Clips) -> None:
    path = clips("h264.mp4")
    one = made(path, count=3, start=0, end=1.6, format="png")
    single = made(path, count=1, start=0.8, format="png")
    assert psnr(one.image.crop(160, 0, 160, 90), single.image) > 60


def test_progress_is_told_and_ends_at_the_whole(greys: Path) -> None:
    told = made(greys, count=10).told
    fractions = [value["fraction"] for value in told]
    assert fractions == sorted(fractions)
    assert {value["frames"] for value in told} >= set(range(1, 11))
    assert told[-1]["fraction"] == 1


def test_quality_makes_a_jpeg_larger(clips: Clips) -> None:
    path = clips("h264.mp4")
    assert len(made(path, count=2, quality=20).data) < len(made(path, count=2, quality=90).data)


def test_what_cannot_be_made_is_refused_in_plain_words(clips: Clips, greys: Path) -> None:
    data = greys.read_bytes()
    assert refusal(strip, {URL: data}, url=URL, start=3, end=2) == (
        "end: 2 is before start, which is 3"
    )
    assert refusal(strip, {URL: b"hello"}, url=URL) == f"File '{URL}' is not a valid video file"
    sound = clips("mp3.mp3").read_bytes()
    assert refusal(strip, {URL: sound}, url=URL) == f"File '{URL}' has no video stream"
    words = refusal(strip, {URL: data}, MediaLimits(max_pixels=47_999), url=URL)
    assert words == "The strip has 800x60 pixels, more than the limit of 47999 (max_pixels)"
    words = refusal(strip, {URL: data}, url=URL, width=9000)
    assert words == "The output would have 90000x6750 pixels, jpeg holds 65500 a side"


def test_a_video_of_one_frame_makes_one_section(clips: Clips) -> None:
    path = clips("one.mp4", *PICTURE, "-frames:v", "1")
    assert made(path).result.count == 1
