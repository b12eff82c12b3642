"""Sizes honour what was asked for, to the pixel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.toolkit.geometry import Box, Layout, Size, check_limits, cover, lay_out

SIDES = st.integers(1, 16_383)
SIZES = st.builds(Size, SIDES, SIDES)


def fitted(width: int, height: int) -> Layout:
    return Layout(Size(width, height), Size(width, height))


@pytest.mark.parametrize(
    ("box", "layout"),
    [
        (Box(), fitted(640, 427)),
        (Box(crop=True), fitted(640, 427)),
        (Box(width=320), fitted(320, 214)),
        (Box(height=100), fitted(150, 100)),
        (Box(width=320, crop=True), fitted(320, 214)),
        (Box(width=300, height=300), fitted(300, 200)),
        (Box(width=1000, height=100), fitted(150, 100)),
        (Box(width=1280, height=2000), fitted(1280, 854)),
        (Box(width=1, height=1), fitted(1, 1)),
        (Box(width=300, height=300, crop=True), Layout(Size(450, 300), Size(300, 300))),
        (Box(width=640, height=100, crop=True), Layout(Size(640, 427), Size(640, 100))),
        (Box(width=1000, height=1000, crop=True), Layout(Size(1499, 1000), Size(1000, 1000))),
    ],
)
def test_a_640x427_picture_gets_the_size_asked_for(box: Box, layout: Layout) -> None:
    assert lay_out(Size(640, 427), box) == layout


def test_no_side_falls_below_one_pixel() -> None:
    assert lay_out(Size(5000, 2), Box(width=100)).output == Size(100, 1)
    assert lay_out(Size(2, 5000), Box(width=100, height=100)).output == Size(1, 100)


@given(SIZES, SIDES, SIDES)
def test_fitting_stays_inside_the_box_and_touches_a_side(
    source: Size, width: int, height: int
) -> None:
    layout = lay_out(source, Box(width=width, height=height))
    assert layout.scaled == layout.output
    assert layout.output.width <= width
    assert layout.output.height <= height
    assert layout.output.width == width or layout.output.height == height


@given(SIZES, SIDES, SIDES)
def test_cropping_fills_the_box_exactly_from_a_picture_that_covers_it(
    source: Size, width: int, height: int
) -> None:
    layout = lay_out(source, Box(width=width, height=height, crop=True))
    assert layout.output == Size(width, height)
    assert layout.scaled.width >= width
    assert layout.scaled.height >= height
    assert layout.scaled.width == width or layout.scaled.height == height


@given(SIZES, SIDES)
def test_a_missing_side_follows_the_aspect_ratio_to_half_a_pixel(source: Size, width: int) -> None:
    exact = source.height * width / source.width
    assert abs(lay_out(source, Box(width=width)).output.height - max(exact, 1)) <= 0.5


@given(SIZES, st.lists(SIZES, min_size=1, max_size=5))
def test_what_covers_all_sizes_is_never_larger_than_the_source(
    source: Size, sizes: list[Size]
) -> None:
    base = cover(source, sizes)
    assert base.width <= source.width
    assert base.height <= source.height
    for size in sizes:
        assert base == source or (base.width >= size.width and base.height >= size.height)


def test_a_quarter_turn_swaps_the_sides() -> None:
    turns = [Size(3, 2).turned(degrees) for degrees in (0, 90, 180, 270)]
    assert turns == [Size(3, 2), Size(2, 3), Size(3, 2), Size(2, 3)]


def test_a_limit_is_named_with_its_value_and_setting() -> None:
    limits = MediaLimits(max_pixels=1000, max_frames=3)
    check_limits("It", Size(100, 10), 1, limits)
    check_limits("It", Size(10, 10), 3, limits)
    with pytest.raises(TaskFailed) as too_large:
        check_limits("It", Size(143, 7), 1, limits)
    assert too_large.value.message == (
        "It has 143x7 pixels, more than the limit of 1000 (max_pixels)"
    )
    with pytest.raises(TaskFailed) as too_large_together:
        check_limits("It", Size(50, 10), 3, limits)
    assert too_large_together.value.message == (
        "It has 50x10 pixels in each of 3 frames, more than the limit of 1000 (max_pixels)"
    )
    with pytest.raises(TaskFailed) as too_long:
        check_limits("It", Size(1, 1), 4, limits)
    assert too_long.value.message == "It has 4 frames, more than the limit of 3 (max_frames)"
