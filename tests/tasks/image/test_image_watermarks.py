"""image.convert puts watermarks where they belong, as large and as strong as asked."""

import pytest

from dragon.task import MediaLimits
from tasks.image.convert import convert
from tests.support.pictures import BOTTOM_RIGHT, CAT
from tests.tasks.image.converting_pictures import (
    CAT_URL,
    CLEAR,
    CORNERS,
    FILES,
    HALF,
    RED,
    made,
    op,
)
from tests.tasks.workbench import refusal


@pytest.mark.parametrize("vertical", ["top", "", "bottom"])
@pytest.mark.parametrize("horizontal", ["left", "", "right"])
def test_a_watermark_lies_where_it_was_put(vertical: str, horizontal: str) -> None:
    position = "-".join(filter(None, (vertical, horizontal))) or "center"
    one = made(CLEAR, op("watermark", url=RED, position=position, margin=3))
    x = {"left": 3, "": 30, "right": 57}[horizontal]
    y = {"top": 3, "": 25, "bottom": 47}[vertical]
    found = one.image[3].find_trim(background=0, threshold=9)
    assert found == [x, y, 20, 10]


def test_a_watermark_is_as_strong_and_as_large_as_asked() -> None:
    base = op("background", color="#ffffff")
    half = made(CLEAR, base, op("watermark", url=RED, opacity=0.5)).image
    assert half(75, 55) == pytest.approx([252, 127, 127], abs=3)
    assert half(5, 5) == [255, 255, 255]
    scaled = made(CLEAR, op("watermark", url=RED, scale=0.5)).image
    assert scaled[3].find_trim(background=0, threshold=9) == [40, 40, 40, 20]
    through = made(CLEAR, base, op("watermark", url=HALF)).image
    assert through(5, 5) == pytest.approx([227, 142, 147], abs=3)


def test_a_large_watermark_is_made_to_fit() -> None:
    one = made(RED, op("watermark", url=CAT_URL))
    assert (one.result.width, one.result.height) == (20, 10)
    assert one.image(2, 5) == [250, 0, 0]
    assert one.image(12, 5) != [250, 0, 0]


def test_several_watermarks_lie_over_one_another_in_their_order() -> None:
    first, second = op("watermark", url=RED), op("watermark", url=CORNERS)
    assert made(CLEAR, second, first).image(75, 55)[:3] == [250, 0, 0]
    assert made(CLEAR, first, second).image(75, 55)[:3] == BOTTOM_RIGHT


def test_a_broken_watermark_is_named() -> None:
    for data in (b"", b"hello", CAT.read_bytes()[:9000]):
        words = refusal(
            convert, FILES | {RED: data}, url=CAT_URL, operations=[op("watermark", url=RED)]
        )
        assert words == f"File '{RED}' is not a valid image file"


def test_watermarks_are_limited_together() -> None:
    limits = MediaLimits(max_pixels=150_000, max_frames=1)
    large = op("watermark", url=CAT_URL, scale=1)
    words = refusal(convert, FILES, limits, url=CAT_URL, operations=[large, large])
    assert words == (
        "The watermarks have 270600 pixels, more than the limit of 150000 (max_pixels)"
    )
