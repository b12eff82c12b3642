"""image.convert refuses what is no picture, too large or a wrong operation, and says where."""

from typing import Any

import pytest

from dragon.params import read_params
from dragon.registry import Registry
from dragon.task import MediaLimits
from tasks.image.convert import convert
from tests.support.pictures import CAT
from tests.tasks.image.converting_pictures import CAT_URL, FILES, MOVING, RED, ROCKET_URL, op
from tests.tasks.workbench import make, refusal


def problems(operations: Any, **others: Any) -> list[str]:
    task = Registry.load(["tasks"]).get("image.convert")
    assert task is not None
    found = read_params(task, {"url": CAT_URL, "operations": operations, **others})[1]
    return [f"{name}: {problem}" for name, told in found.items() for problem in told]


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


def test_frames_count_where_they_are_written() -> None:
    limits = MediaLimits(max_pixels=60 * 40, max_frames=4)
    words = refusal(convert, FILES, limits, url=MOVING)
    assert words.startswith("File 'http://files.com/moving' has 60x40 pixels in each of 4 frames")
    png = [op("format", format="png")]
    assert make(convert, FILES, limits, url=MOVING, operations=png).result.height == 40


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
