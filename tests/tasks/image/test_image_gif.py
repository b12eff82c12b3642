"""image.gif makes an animation of pictures, in order, with the timing asked for."""

from typing import Any

import pytest
from pyvips import Image

from dragon.task import MediaLimits
from tasks.image.gif import gif
from tests.support.pictures import CAT, ROCKET, animation, plain, psnr
from tests.tasks.workbench import Made, make, refusal

NAMES = ("red", "green", "blue")
COLORS = ([220, 20, 20], [20, 200, 20], [20, 20, 220])
URLS = [f"http://files.com/{name}.png" for name in NAMES]
CAT_URL, ROCKET_URL, TALL_URL = (f"http://files.com/{name}" for name in ("cat", "rocket", "tall"))
FILES = {
    **{url: plain(color).pngsave_buffer() for url, color in zip(URLS, COLORS, strict=True)},
    CAT_URL: CAT.read_bytes(),
    ROCKET_URL: ROCKET.read_bytes(),
    TALL_URL: plain([20, 200, 20], 20, 60).pngsave_buffer(),
}


def made(images: list[str] = URLS, **params: Any) -> Made:
    return make(gif, FILES, images=images, **params)


def repeats(data: bytes) -> int | None:
    """How often the animation is repeated, as the file itself says; None without a word on it."""
    _, found, rest = data.partition(b"NETSCAPE2.0\x03\x01")
    return int.from_bytes(rest[:2], "little") if found else None


def test_the_frames_are_the_pictures_in_their_order() -> None:
    one = made([URLS[2], URLS[0], URLS[0], URLS[1]])
    assert one.result.count == 4
    for index, color in enumerate((COLORS[2], COLORS[0], COLORS[0], COLORS[1])):
        assert one.frame(index)(40, 30)[:3] == pytest.approx(color, abs=8)


def test_the_first_picture_says_how_large_the_frames_are() -> None:
    for params, size in (
        ({}, (451, 300)),
        ({"width": 90}, (90, 60)),
        ({"height": 30}, (45, 30)),
        ({"width": 70, "height": 50}, (70, 50)),
    ):
        one = made([CAT_URL, ROCKET_URL], **params)
        assert (one.result.width, one.result.height) == size
        assert (one.image.width, one.image.get_page_height()) == size


@pytest.mark.parametrize(("loop", "expected"), [(0, 0), (-1, None), (1, 1), (7, 7), (65535, 65535)])
def test_it_is_repeated_as_often_as_asked(loop: int, expected: int | None) -> None:
    assert repeats(made(loop=loop).data) == expected


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0.1, 100), (0.25, 250), (0.333, 330), (2, 2000), (0.01, 10)]
)
def test_each_frame_is_shown_as_long_as_asked(seconds: float, milliseconds: int) -> None:
    assert made(frame_duration=seconds).image.get("delay") == 3 * [milliseconds]


def test_without_more_words_it_is_repeated_for_ever_ten_frames_a_second() -> None:
    one = made()
    assert repeats(one.data) == 0
    assert one.image.get("delay") == [100, 100, 100]


def test_a_picture_of_another_shape_lies_in_the_middle_and_hides_the_frame_before() -> None:
    one = made([URLS[0], TALL_URL])
    tall = one.frame(1)
    assert tall(40, 30) == pytest.approx([*COLORS[1], 255], abs=8)
    assert tall(5, 30)[3] == tall(75, 30)[3] == 0
    assert one.frame(0)(5, 30)[3] == 255


def test_a_crop_fills_the_frames() -> None:
    for crop in (True, "smart"):
        tall = made([URLS[0], TALL_URL], crop=crop).frame(1)
        assert tall(2, 2)[:3] == tall(78, 58)[:3] == pytest.approx(COLORS[1], abs=8)


def test_a_background_lies_around_and_behind_the_pictures() -> None:
    files = FILES | {"http://files.com/half": plain([255, 0, 0, 0], 20, 60).pngsave_buffer()}
    urls = [URLS[0], TALL_URL, "http://files.com/half"]
    one = make(gif, files, images=urls, background="#0000ff")
    assert one.frame(1)(5, 30)[:3] == pytest.approx([0, 0, 255], abs=8)
    assert one.frame(2)(40, 30)[:3] == pytest.approx([0, 0, 255], abs=8)


def test_a_lower_quality_takes_fewer_bytes() -> None:
    sizes = [len(made([CAT_URL], width=200, quality=quality).data) for quality in (95, 40, 5)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[2]


def test_a_frame_is_as_good_as_that_of_libvips() -> None:
    best = Image.thumbnail(str(CAT), 200)
    assert psnr(made([CAT_URL, ROCKET_URL], width=200).frame(0)[:3], best) > 30


def test_a_moving_picture_gives_its_first_frame() -> None:
    files = {"http://files.com/a": animation().gifsave_buffer()}
    one = make(gif, files, images=2 * ["http://files.com/a"])
    assert one.image.get("n-pages") == 2
    assert one.image[:3].avg() == pytest.approx(10, abs=3)


def test_the_progress_tells_how_many_pictures_there_are_and_each_is_fetched_once() -> None:
    one = made([URLS[0], URLS[1], URLS[0], URLS[0]])
    assert sorted(one.fetched) == sorted(URLS[:2])
    assert one.told[-1] == {"fraction": 1.0, "frames": 4, "seconds_left": 0.0}
    assert [value["frames"] for value in one.told[:2]] == [3, 4]


@pytest.mark.parametrize("place", [0, 2])
def test_a_broken_picture_is_named(place: int) -> None:
    for data in (b"", b"hello", CAT.read_bytes()[:9000]):
        files = FILES | {URLS[place]: data}
        message = f"File '{URLS[place]}' is not a valid image file"
        assert refusal(gif, files, images=URLS) == message


def test_limits_hold_for_each_picture_and_for_all_frames_together() -> None:
    limits = MediaLimits(max_pixels=640 * 427, max_frames=3)
    assert refusal(gif, FILES, limits, images=[*URLS, ROCKET_URL]) == (
        "The animation has 4 frames, more than the limit of 3 (max_frames)"
    )
    assert refusal(gif, FILES, limits, images=URLS, width=400) == (
        "The animation has 400x300 pixels in each of 3 frames, "
        "more than the limit of 273280 (max_pixels)"
    )
    smaller = MediaLimits(max_pixels=640 * 426, max_frames=3)
    assert refusal(gif, FILES, smaller, images=[URLS[0], ROCKET_URL]) == (
        f"File '{ROCKET_URL}' has 640x427 pixels, more than the limit of 272640 (max_pixels)"
    )
    assert make(gif, FILES, limits, images=[URLS[0], ROCKET_URL]).result.count == 2
