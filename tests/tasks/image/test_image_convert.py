"""image.convert does each operation, and a list of them in its order."""

import pytest
from pyvips import Image

from dragon.params import parse_query_values, read_params
from dragon.registry import Registry
from tasks.image.convert import convert
from tests.support.pictures import (
    BOTTOM_LEFT,
    BOTTOM_RIGHT,
    CAT,
    ROCKET,
    TOP_LEFT,
    TOP_RIGHT,
    plain,
    psnr,
)
from tests.tasks.image.converting_pictures import (
    CAT_URL,
    CLEAR,
    CORNERS,
    HALF,
    MOVING,
    RED,
    ROCKET_URL,
    made,
    op,
)
from tests.tasks.workbench import make


def corner_colors(image: Image) -> list[list[float]]:
    right, bottom = image.width - 4, image.height - 4
    return [image(x, y)[:3] for x, y in ((3, 3), (right, 3), (3, bottom), (right, bottom))]


# Each operation


def test_without_operations_the_picture_is_as_it_was() -> None:
    one = made(CAT_URL)
    original = Image.new_from_file(str(CAT))
    assert (one.image - original).abs().max() == 0
    assert (one.result.original_width, one.result.original_height) == (451, 300)


def test_a_resize_is_as_good_as_that_of_libvips() -> None:
    for path, url in ((CAT, CAT_URL), (ROCKET, ROCKET_URL)):
        best = Image.thumbnail(str(path), 200, output_profile="srgb")
        one = made(url, op("resize", width=200), op("format", format="png"))
        assert psnr(one.image, best) > 40


def test_a_resize_fills_a_box_where_it_crops() -> None:
    box = {"width": 60, "height": 90}
    assert made(CAT_URL, op("resize", **box)).image.height == 40
    middle = made(CAT_URL, op("resize", **box, crop=True)).image
    smart = made(CAT_URL, op("resize", **box, crop="smart")).image
    assert (middle.width, middle.height) == (smart.width, smart.height) == (60, 90)
    assert (middle - smart).abs().max() > 50


def test_a_crop_keeps_the_part_that_is_told_or_the_middle() -> None:
    original = Image.new_from_file(str(CAT))
    told = made(CAT_URL, op("crop", width=50, height=40, x=7, y=9)).image
    assert (told - original.crop(7, 9, 50, 40)).abs().max() == 0
    middle = made(CAT_URL, op("crop", width=51, height=40)).image
    assert (middle - original.crop(200, 130, 51, 40)).abs().max() == 0


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (0, (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT)),
        (90, (TOP_RIGHT, BOTTOM_RIGHT, TOP_LEFT, BOTTOM_LEFT)),
        (-90, (BOTTOM_LEFT, TOP_LEFT, BOTTOM_RIGHT, TOP_RIGHT)),
        (180, (BOTTOM_RIGHT, BOTTOM_LEFT, TOP_RIGHT, TOP_LEFT)),
        (360, (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT)),
    ],
)
def test_quarter_turns_are_counter_clockwise_and_lose_nothing(
    degrees: int, expected: tuple[list[int], ...]
) -> None:
    one = made(CORNERS, op("rotate", degrees=degrees))
    assert corner_colors(one.image) == [*expected]
    assert one.image.bands == 3


def test_other_turns_leave_corners_clear_or_of_the_background() -> None:
    turned = made(CORNERS, op("rotate", degrees=45)).image
    assert (turned.width, turned.height, turned.bands) == (71, 71, 4)
    assert turned(1, 1)[3] == 0
    assert turned(15, 35)[:3] == pytest.approx(TOP_LEFT, abs=2)
    assert turned(35, 15)[:3] == pytest.approx(TOP_RIGHT, abs=2)
    filled = made(CORNERS, op("rotate", degrees=45, background="#0080ff")).image
    assert filled(1, 1) == [0, 128, 255]
    white = made(CORNERS, op("rotate", degrees=45), op("format", format="jpeg")).image
    assert white(1, 1) == pytest.approx([255] * 3, abs=3)


def test_a_flip_mirrors() -> None:
    assert corner_colors(made(CORNERS, op("flip")).image) == [
        TOP_RIGHT, TOP_LEFT, BOTTOM_RIGHT, BOTTOM_LEFT,
    ]  # fmt: skip
    assert corner_colors(made(CORNERS, op("flip", direction="vertical")).image) == [
        BOTTOM_LEFT, BOTTOM_RIGHT, TOP_LEFT, TOP_RIGHT,
    ]  # fmt: skip


def test_a_background_shows_through() -> None:
    assert made(CLEAR, op("background", color="#102030")).image(9, 9) == [16, 32, 48]
    half = made(HALF, op("background", color="#0000ff")).image(9, 9)
    assert half == pytest.approx([100, 15, 147], abs=2)
    both = made(CLEAR, op("background", color="#10203080")).image(9, 9)
    assert both == pytest.approx([16, 32, 48, 128], abs=1)
    assert made(CORNERS, op("background", color="#102030")).image(3, 3) == TOP_LEFT


def test_a_blur_is_that_of_libvips_and_keeps_colours_at_the_edges_of_what_is_clear() -> None:
    original = Image.new_from_file(str(CAT))
    for sigma in (1, 4, 9, 30):
        expected = original.gaussblur(sigma, min_ampl=0.001, precision="float")
        assert psnr(made(CAT_URL, op("blur", sigma=sigma)).image, expected) > 45, sigma
    for one_colour in (0.5, 1, 3, 100):
        assert made(RED, op("blur", sigma=one_colour)).image(9, 5) == [250, 0, 0]
    weak, strong = (made(CAT_URL, op("blur", sigma=sigma)).image for sigma in (1, 10))
    assert psnr(weak, original) > psnr(strong, original) + 5
    spot = plain([0, 0, 0, 0]).insert(plain([200, 30, 40, 255], 40, 30), 20, 15)
    files = {RED: spot.pngsave_buffer()}
    blurred = make(convert, files, url=RED, operations=[op("blur", sigma=5)]).image
    assert 20 < blurred(20, 30)[3] < 235
    assert blurred(18, 30)[:3] == pytest.approx([200, 30, 40], abs=4)


def test_sharpening_steepens_edges_by_the_amount() -> None:
    original, weak, strong = (
        made(CAT_URL, *operations).image.colourspace("b-w").sobel().avg()
        for operations in (
            [],
            [op("sharpen", amount=1)],
            [op("sharpen", sigma=1.5, amount=6)],
        )
    )
    assert original < weak < strong


def test_grey_has_no_colours_and_keeps_alpha() -> None:
    assert made(CAT_URL, op("grey")).image.bands == 1
    light = made(HALF, op("grey")).image(9, 9)
    assert light == pytest.approx([102, 128], abs=2)
    expected = Image.new_from_file(str(CAT)).colourspace("b-w")
    assert (made(CAT_URL, op("grey")).image - expected).abs().max() == 0


# The order


def test_operations_are_done_in_their_order() -> None:
    turn, part = op("rotate", degrees=90), op("crop", width=30, height=20, x=0, y=0)
    assert made(CORNERS, turn, part).image(5, 5) == TOP_RIGHT
    assert made(CORNERS, part, turn).image(5, 5) == TOP_LEFT
    mark = op("watermark", url=RED)
    assert made(CORNERS, mark, op("grey")).image.bands == 1
    assert made(CORNERS, op("grey"), mark).image(55, 35) == [250, 0, 0]


def test_of_several_formats_and_qualities_the_last_counts() -> None:
    one = made(
        CAT_URL,
        op("format", format="png"),
        op("quality", quality=9),
        op("quality", quality=60),
        op("format", format="webp"),
    )
    assert (one.result.content_type, one.result.quality) == ("image/webp", 60)


def test_a_moving_picture_is_worked_on_frame_by_frame() -> None:
    mark = op("watermark", url=RED, position="top-left")
    for format in ("gif", "webp"):
        one = made(
            MOVING, op("resize", width=90), op("blur", sigma=8), mark, op("format", format=format)
        )
        assert one.image.get("n-pages") == 4
        assert one.image.get("delay") == [50, 60, 70, 80]
        assert one.image.get("loop") == 3
        for index in range(4):
            frame = one.frame(index)
            assert frame(9, 5)[0] > 220
            for place in ((45, 15), (45, 58)):
                assert frame(*place)[0] == pytest.approx(60 * index + 10, abs=8)
    assert made(MOVING, op("grey"), op("format", format="png")).image.height == 40


def test_operations_of_a_query_are_json() -> None:
    task = Registry.load(["tasks"]).get("image.convert")
    assert task is not None
    values = {"url": [CAT_URL], "operations": ['[{"type": "blur", "sigma": 2}]']}
    params, found = read_params(task, parse_query_values(task, values), is_strict=False)
    assert found == {}
    assert params is not None
