"""image.convert does a list of operations in their order, and writes any format within limits."""

from typing import Any

import pytest
from pyvips import Image

from dragon.params import read_params, read_query_params
from dragon.registry import Registry
from dragon.task import MediaLimits
from tasks.image.convert import convert
from tests.pictures import (
    BOTTOM_LEFT,
    BOTTOM_RIGHT,
    CAT,
    ROCKET,
    TOP_LEFT,
    TOP_RIGHT,
    animation,
    corners,
    plain,
    psnr,
)
from tests.workbench import Made, make, refusal

NAMES = ("cat", "rocket", "corners", "half", "red", "clear", "moving")
CAT_URL, ROCKET_URL, CORNERS, HALF, RED, CLEAR, MOVING = (f"http://files.com/{n}" for n in NAMES)
FILES = {
    CAT_URL: CAT.read_bytes(),
    ROCKET_URL: ROCKET.read_bytes(),
    CORNERS: corners().pngsave_buffer(),
    HALF: plain([200, 30, 40, 128]).pngsave_buffer(),
    RED: plain([250, 0, 0], 20, 10).pngsave_buffer(),
    CLEAR: plain([0, 0, 0, 0]).pngsave_buffer(),
    MOVING: animation().gifsave_buffer(),
}


def op(type: str, **values: Any) -> dict[str, Any]:
    return {"type": type, **values}


def made(url: str, *operations: dict[str, Any], **params: Any) -> Made:
    one = make(convert, FILES, url=url, operations=list(operations), **params)
    image = one.image
    assert (one.result.width, one.result.height) == (image.width, image.get_page_height())
    assert one.result.bytes == len(one.data)
    return one


def corner_colors(image: Image) -> list[list[float]]:
    right, bottom = image.width - 4, image.height - 4
    return [image(x, y)[:3] for x, y in ((3, 3), (right, 3), (3, bottom), (right, bottom))]


def problems(operations: Any, **others: Any) -> list[str]:
    task = Registry.load(["tasks"]).get("image.convert")
    assert task is not None
    found = read_params(task, {"url": CAT_URL, "operations": operations, **others})[1]
    return [f"{name}: {problem}" for name, told in found.items() for problem in told]


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


# Watermarks


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


# Formats, quality, bytes


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif", "avif"])
def test_the_format_is_the_source_s_own_or_the_one_asked_for(format: str) -> None:
    data = plain([9, 9, 9]).write_to_buffer({"jpeg": ".jpg"}.get(format, f".{format}"))
    own = make(convert, {RED: data}, url=RED)
    assert own.result.content_type == f"image/{format}"
    asked = made(CAT_URL, op("format", format=format))
    assert asked.result.content_type == f"image/{format}"


def test_what_is_not_written_becomes_a_png() -> None:
    tiff = make(convert, {RED: plain([9, 9, 9]).tiffsave_buffer()}, url=RED)
    assert tiff.result.content_type == "image/png"


def test_the_quality_is_told() -> None:
    own = {"jpeg": 85, "webp": 80, "avif": 55, "png": None, "gif": None}
    for format, quality in own.items():
        assert made(RED, op("format", format=format)).result.quality == quality
    assert made(RED, op("format", format="png"), op("quality", quality=30)).result.quality == 30


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "gif", "avif"])
def test_the_best_quality_is_found_that_takes_no_more_bytes(format: str) -> None:
    operations = [op("resize", width=160), op("format", format=format)]
    whole = made(CAT_URL, *operations)
    assert made(CAT_URL, *operations, max_bytes=len(whole.data)).data == whole.data
    most = len(whole.data) // (4 if format == "png" else 2)
    small = made(CAT_URL, *operations, max_bytes=most)
    assert 0.5 * most < len(small.data) <= most
    better = made(CAT_URL, *operations, op("quality", quality=min(95, small.result.quality + 12)))
    assert len(better.data) > most
    assert psnr(better.image[:3], whole.image[:3]) >= psnr(small.image[:3], whole.image[:3])


def test_bytes_that_are_too_few_are_refused_with_what_would_be_needed() -> None:
    words = refusal(convert, FILES, url=ROCKET_URL, max_bytes=500)
    least = len(made(ROCKET_URL, op("quality", quality=1)).data)
    assert words == (
        f"The output takes {least} bytes in the lowest quality of jpeg, "
        "more than max_bytes (500): choose another format or fewer pixels"
    )


# Colours


def test_colours_become_srgb_whatever_they_were() -> None:
    color = plain([200, 30, 40])
    print_colors = color.icc_transform("cmyk", input_profile="srgb")
    for name, data in {
        "wide": color.icc_transform("p3", input_profile="srgb").jpegsave_buffer(profile="p3"),
        "deep": color.colourspace("rgb16").pngsave_buffer(),
        "deep-clear": plain([200, 30, 40, 128]).colourspace("rgb16").pngsave_buffer(),
        "lab": color.colourspace("lab").tiffsave_buffer(),
        "palette": color.pngsave_buffer(palette=True),
        "ten": color.colourspace("rgb16").heifsave_buffer(bitdepth=10, compression="av1", Q=90),
        "cmyk": print_colors.jpegsave_buffer(),
        "cmyk-bare": print_colors.jpegsave_buffer(keep="none"),
    }.items():
        operations = [op("blur", sigma=1), op("rotate", degrees=90), op("format", format="png")]
        image = make(convert, {RED: data}, url=RED, operations=operations).image
        allowed = 12 if "cmyk" in name else 4
        assert image(15, 20)[:3] == pytest.approx([200, 30, 40], abs=allowed), name
        assert "icc-profile-data" not in image.get_fields()


@pytest.mark.parametrize("kind", ["p3", "p3 of 16 bits", "cmyk", "16 bits", "10 bits", "alpha"])
def test_a_photograph_of_any_kind_is_as_libvips_converts_it(kind: str) -> None:
    photo = Image.new_from_file(str(CAT))
    data = {
        "p3": lambda: photo.icc_transform("p3", input_profile="srgb").jpegsave_buffer(profile="p3"),
        "p3 of 16 bits": lambda: photo.icc_transform(
            "p3", input_profile="srgb", depth=16
        ).tiffsave_buffer(profile="p3"),
        "cmyk": lambda: photo.icc_transform("cmyk", input_profile="srgb").jpegsave_buffer(),
        "16 bits": lambda: photo.colourspace("rgb16").pngsave_buffer(),
        "10 bits": lambda: photo.colourspace("rgb16").heifsave_buffer(
            bitdepth=10, compression="av1"
        ),
        "alpha": lambda: photo.bandjoin(Image.grey(451, 300, uchar=True)).pngsave_buffer(),
    }[kind]()
    operations = [op("resize", width=200), op("format", format="png")]
    one = make(convert, {CAT_URL: data}, url=CAT_URL, operations=operations)
    expected = Image.thumbnail_buffer(data, 200, output_profile="srgb")
    assert psnr(one.image, expected) > 45
    if kind.startswith("p3"):
        assert psnr(one.image, Image.thumbnail(str(CAT), 200)) > 40


# Refusals


def test_what_is_no_picture_is_refused() -> None:
    for data in (b"", b"hello", b"<svg/>", CAT.read_bytes()[:9000]):
        for operations in ([], [op("format", format="png")]):
            words = refusal(convert, {RED: data}, url=RED, operations=operations)
            assert words == f"File '{RED}' is not a valid image file"


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ([], f"File '{ROCKET_URL}' has 640x427 pixels, more than the limit of 250000 (max_pixels)"),
        (
            [op("resize", width=100), op("resize", width=700)],
            "The picture after operations[1] has 700x469 pixels, "
            "more than the limit of 250000 (max_pixels)",
        ),
        (
            [op("resize", width=16000, height=1), op("crop", width=2, height=2)],
            "operations: [1]: 2x2 at -1,-1 does not lie inside the picture of 1x1",
        ),
        (
            [op("crop", width=10, height=10, x=631, y=0)],
            "operations: [0]: 10x10 at 631,0 does not lie inside the picture of 640x427",
        ),
    ],
)
def test_limits_hold_before_anything_is_decoded(
    operations: list[dict[str, Any]], words: str
) -> None:
    limits = MediaLimits(max_pixels=250_000, max_frames=1)
    assert refusal(convert, FILES, limits, url=ROCKET_URL, operations=operations) == words


def test_watermarks_are_limited_together() -> None:
    limits = MediaLimits(max_pixels=150_000, max_frames=1)
    large = op("watermark", url=CAT_URL, scale=1)
    words = refusal(convert, FILES, limits, url=CAT_URL, operations=[large, large])
    assert words == (
        "The watermarks have 270600 pixels, more than the limit of 150000 (max_pixels)"
    )


def test_frames_count_where_they_are_written() -> None:
    limits = MediaLimits(max_pixels=60 * 40, max_frames=4)
    words = refusal(convert, FILES, limits, url=MOVING)
    assert words.startswith("File 'http://files.com/moving' has 60x40 pixels in each of 4 frames")
    png = [op("format", format="png")]
    assert make(convert, FILES, limits, url=MOVING, operations=png).result.height == 40


def test_a_format_that_cannot_hold_the_size_says_so() -> None:
    operations = [op("resize", width=16000, height=9), op("rotate", degrees=1)]
    files = {RED: plain([9], 17_000, 2).pngsave_buffer()}
    words = refusal(convert, files, url=RED, operations=[op("format", format="webp")])
    assert words == "The output would have 17000x2 pixels, webp holds 16383 a side"
    assert make(convert, files, url=RED, operations=operations).result.width > 15_000


PIXELS = "must be a whole number of pixels from 1 to 16383"


@pytest.mark.parametrize(
    ("operations", "told"),
    [
        ([op("resize", width=0)], [f"operations: [0]: width: {PIXELS}"]),
        ([op("grey"), op("crop", width=5)], ["operations: [1]: height: this field is required"]),
        (
            [op("resize", crop="clever")],
            ['operations: [0]: crop: must be true, false or "smart"'],
        ),
        (
            [op("blur", sigma=0), op("rotate", degrees="up")],
            [
                "operations: [0]: sigma: must be a number of pixels from 0.3 to 100",
                "operations: [1]: degrees: must be a number of degrees from -360 to 360",
            ],
        ),
        (
            [op("background", color="red")],
            [
                "operations: [0]: color: must be a colour such as #ff8800 or, half transparent, "
                "#ff880080"
            ],
        ),
        (
            [op("grey", strength=3)],
            ["operations: [0]: strength: this parameter is unknown, choose among: "],
        ),
        (
            [op("posterize")],
            [
                'operations: [0]: type: must be one of: "resize", "crop", "rotate", "flip", '
                '"background", "blur", "sharpen", "grey", "watermark", "format", "quality"'
            ],
        ),
        ([{"width": 5}], ["operations: [0]: type: this field is required"]),
        (
            31 * [op("grey")],
            ['operations: must be a list of up to 30 operations, such as [{"type": "grey"}]'],
        ),
        (
            "grey",
            ['operations: must be a list of up to 30 operations, such as [{"type": "grey"}]'],
        ),
    ],
)
def test_a_wrong_operation_gives_a_problem_that_says_where(
    operations: Any, told: list[str]
) -> None:
    assert problems(operations) == told


def test_operations_of_a_query_are_json() -> None:
    task = Registry.load(["tasks"]).get("image.convert")
    assert task is not None
    values = {"url": [CAT_URL], "operations": ['[{"type": "blur", "sigma": 2}]']}
    params, found = read_query_params(task, values)
    assert found == {}
    assert params is not None
