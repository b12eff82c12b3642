"""image.strip puts pictures side by side, in sections of one size."""

from typing import Any

import pytest
from pyvips import Image

from dragon.task import MediaLimits
from tasks.image.strip import strip
from tests.support.pictures import CAT, ROCKET, plain, psnr
from tests.tasks.image.test_image_gif import CAT_URL, COLORS, FILES, ROCKET_URL, TALL_URL, URLS
from tests.tasks.workbench import Made, make, refusal


def made(urls: list[str] = URLS, **params: Any) -> Made:
    one = make(strip, FILES, urls=urls, **params)
    assert (one.result.width, one.result.height) == (one.image.width, one.image.height)
    assert one.result.count == len(urls)
    return one


def test_sections_run_from_left_to_right_in_one_line() -> None:
    one = made()
    assert (one.result.width, one.result.height) == (240, 60)
    assert one.result.content_type == "image/jpeg"
    for index, color in enumerate(COLORS):
        assert one.image(80 * index + 40, 30) == pytest.approx(color, abs=8)


@pytest.mark.parametrize(
    ("wrap", "size"), [(1, (80, 300)), (2, (160, 180)), (4, (320, 120)), (9, (400, 60))]
)
def test_after_wrap_sections_a_new_line_starts(wrap: int, size: tuple[int, int]) -> None:
    urls = [*URLS, *URLS[:2]]
    one = made(urls, wrap=wrap)
    assert (one.result.width, one.result.height) == size
    for index, url in enumerate(urls):
        place = (index % wrap * 80 + 40, index // wrap * 60 + 30)
        assert one.image(*place) == pytest.approx(COLORS[URLS.index(url)], abs=8)


def test_width_and_height_are_those_of_a_section() -> None:
    for params, size in (
        ({"width": 90}, (180, 60)),
        ({"height": 30}, (90, 30)),
        ({"width": 70, "height": 50}, (140, 50)),
    ):
        one = made([CAT_URL, ROCKET_URL], **params)
        assert (one.result.width, one.result.height) == size


def test_a_picture_of_another_shape_lies_in_the_middle_of_white() -> None:
    one = made([URLS[0], TALL_URL], quality=95)
    assert one.image(120, 30) == pytest.approx(COLORS[1], abs=8)
    assert one.image(90, 30) == one.image(150, 30) == pytest.approx([255] * 3, abs=3)


def test_what_is_empty_is_clear_where_the_format_has_alpha() -> None:
    for format in ("png", "webp", "avif"):
        one = made([URLS[0], TALL_URL, URLS[2]], wrap=2, format=format)
        assert one.result.content_type == f"image/{format}"
        assert (one.image(90, 30)[3], one.image(120, 90)[3]) == (0, 0)
        assert (one.image(120, 30)[3], one.image(40, 90)[3]) == (255, 255)
        assert made(format=format).image.bands == 3


def test_a_crop_fills_the_sections() -> None:
    for crop in (True, "smart"):
        one = made([URLS[0], TALL_URL], crop=crop)
        assert one.image(84, 4) == one.image(156, 56) == pytest.approx(COLORS[1], abs=8)


def test_a_background_fills_what_is_empty() -> None:
    for format in ("jpeg", "png"):
        one = made([URLS[0], TALL_URL, URLS[2]], wrap=2, format=format, background="#203040")
        for place in ((90, 30), (120, 90)):
            assert one.image(*place) == pytest.approx([32, 48, 64], abs=4)


def test_a_lower_quality_takes_fewer_bytes() -> None:
    sizes = [len(made([CAT_URL, ROCKET_URL], quality=quality).data) for quality in (95, 50, 5)]
    assert sizes == sorted(sizes, reverse=True)


def test_the_sections_are_as_good_as_thumbnails_of_libvips() -> None:
    options = {"height": 100, "crop": "centre", "output_profile": "srgb"}
    best = [Image.thumbnail(str(path), 150, **options) for path in (CAT, ROCKET)]
    expected = Image.arrayjoin(best, across=2)
    one = made([CAT_URL, ROCKET_URL], width=150, height=100, format="png", crop=True)
    assert psnr(one.image, expected) > 35


def test_colours_become_srgb_and_alpha_is_kept() -> None:
    color = plain([200, 30, 40])
    files = {
        "http://files.com/wide": color.icc_transform("p3", input_profile="srgb").jpegsave_buffer(
            profile="p3", Q=95
        ),
        "http://files.com/deep": color.colourspace("rgb16").pngsave_buffer(),
        "http://files.com/print": color.icc_transform("cmyk", input_profile="srgb").jpegsave_buffer(
            Q=95
        ),
        "http://files.com/half": plain([200, 30, 40, 128]).pngsave_buffer(),
        "http://files.com/grey": plain([102]).pngsave_buffer(),
    }
    one = make(strip, files, urls=list(files), format="png")
    for index, allowed in enumerate((3, 2, 12, 2)):
        assert one.image(80 * index + 40, 30)[:3] == pytest.approx([200, 30, 40], abs=allowed)
    assert [one.image(80 * index + 40, 30)[3] for index in range(5)] == [255, 255, 255, 128, 255]
    assert one.image(360, 30)[:3] == pytest.approx([102] * 3, abs=2)


@pytest.mark.parametrize("place", [0, 2])
def test_a_broken_picture_is_named(place: int) -> None:
    for data in (b"", b"hello", CAT.read_bytes()[:9000]):
        files = FILES | {URLS[place]: data}
        message = f"File '{URLS[place]}' is not a valid image file"
        assert refusal(strip, files, urls=URLS) == message


def test_limits_hold_for_each_picture_and_for_the_whole() -> None:
    limits = MediaLimits(max_pixels=640 * 426, max_frames=1)
    assert refusal(strip, FILES, limits, urls=[URLS[0], ROCKET_URL]) == (
        f"File '{ROCKET_URL}' has 640x427 pixels, more than the limit of 272640 (max_pixels)"
    )
    assert refusal(strip, FILES, limits, urls=4 * URLS, width=200) == (
        "The strip has 2400x150 pixels, more than the limit of 272640 (max_pixels)"
    )
    assert refusal(strip, FILES, limits, urls=9 * URLS, width=9999, format="webp") == (
        "The output would have 269973x7499 pixels, webp holds 16383 a side"
    )
