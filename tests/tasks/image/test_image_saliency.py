"""image.saliency and image.smartcrop tell what draws the eye, and what does not."""

from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pyvips
from pyvips import Image

from dragon.engine.isolation.pool import Decoders
from dragon.errors import TaskFailed
from dragon.params import read_params
from dragon.registry import Registry
from dragon.task import Source
from tasks import WARM, WARM_ENVIRONMENT
from tasks.image import saliency, smartcrop
from tasks.image.saliency import Saliency
from tasks.image.smartcrop import Box, Boxes, SmartcropParams
from tests.support import decoders
from tests.support.pictures import ASTRONAUT, CAT, LIMITS, ROCKET, URL, plain, write

SPOTS = ((80, 80), (400, 60), (300, 250))


def points_of(path: Path) -> Saliency:
    with path.open("rb") as source:
        return saliency.find(URL, source.fileno(), LIMITS)


def boxes_of(path: Path, **asked: Any) -> Boxes:
    params = msgspec.convert({"url": URL, **asked}, SmartcropParams)
    with path.open("rb") as source:
        return smartcrop.find(params, source.fileno(), LIMITS)


def spotted(path: Path, spots: tuple[tuple[int, int], ...] = SPOTS) -> Path:
    """Yellow discs on a blue 480 x 320."""
    image = plain([30, 40, 120], 480, 320)
    for x, y in spots:
        image = image.draw_circle([250, 220, 0], x, y, 18, fill=True)
    return write(path, image.pngsave_buffer())


def holds(box: Box, x: float, y: float) -> bool:
    return box.x <= x < box.x + box.width and box.y <= y < box.y + box.height


def overlap(one: Box, other: Box) -> bool:
    across = min(one.x + one.width, other.x + other.width) > max(one.x, other.x)
    return across and min(one.y + one.height, other.y + other.height) > max(one.y, other.y)


def test_points_lie_on_what_stands_out(tmp_path: Path) -> None:
    found = points_of(spotted(tmp_path / "spots.png"))
    assert (found.width, found.height) == (480, 320)
    strongest = [(point.x, point.y) for point in found.points[:3]]
    for spot in SPOTS:
        assert any(abs(x - spot[0]) < 20 and abs(y - spot[1]) < 20 for x, y in strongest)
    weights = [point.weight for point in found.points]
    assert weights[0] == 1
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 0


def test_a_face_draws_the_eye_before_all_else() -> None:
    first = points_of(ASTRONAUT).points[0]
    assert 180 < first.x < 272
    assert 60 < first.y < 178


def test_the_eyes_of_a_cat_and_a_rocket_are_seen() -> None:
    eyes = [(point.x, point.y) for point in points_of(CAT).points[:2]]
    assert eyes == [pytest.approx((176, 112), abs=20), pytest.approx((314, 134), abs=20)]
    assert any(290 < point.x < 350 for point in points_of(ROCKET).points[:2])


def test_nothing_draws_the_eye_in_a_single_colour(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.png", plain([10, 200, 30]).pngsave_buffer())
    assert points_of(path) == Saliency(points=[], width=80, height=60)


def test_points_are_told_in_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    upright = Image.new_from_file(str(spotted(tmp_path / "spot.png", ((400, 60),))))
    stored = upright.rot("d90").copy_memory()
    stored.set_type(pyvips.GValue.gint_type, "orientation", 8)
    found = points_of(write(tmp_path / "stored.jpg", stored.jpegsave_buffer(Q=95)))
    assert (found.points[0].x, found.points[0].y) == pytest.approx((400, 60), abs=15)


def test_the_best_box_holds_what_stands_out(tmp_path: Path) -> None:
    path = spotted(tmp_path / "spot.png", ((120, 90),))
    best = boxes_of(path, boxes_number=1).points
    assert len(best) == 1
    assert holds(best[0], 120, 90)
    assert 0.5 < best[0].score <= 1
    assert best[0].width < 300


@pytest.mark.parametrize("aspect", [16 / 9, 1.0, 0.5, 20.0, 0.05])
@pytest.mark.parametrize("reverse", [False, True])
def test_boxes_have_the_aspect_ratio_lie_inside_and_do_not_overlap(
    aspect: float, reverse: bool
) -> None:
    found = boxes_of(ASTRONAUT, aspect_ratio=aspect, reverse=reverse)
    assert 1 <= len(found.points) <= 10
    for box in found.points:
        assert box.width == pytest.approx(box.height * aspect, abs=1 + aspect)
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= 512
        assert box.y + box.height <= 512
    assert not any(overlap(one, other) for one, other in combinations(found.points, 2))
    scores = [box.score for box in found.points]
    assert scores == sorted(scores, reverse=True)


def test_spots_far_apart_have_a_box_each(tmp_path: Path) -> None:
    path = spotted(tmp_path / "spots.png")
    boxes = boxes_of(path, aspect_ratio=1, diag_ratio=0.1).points
    for spot in SPOTS:
        assert any(holds(box, *spot) for box in boxes[:3])
    assert len(boxes_of(path, aspect_ratio=1, diag_ratio=0.1, boxes_number=2).points) == 2


def test_the_smallest_box_is_as_large_as_asked_for(tmp_path: Path) -> None:
    path = spotted(tmp_path / "spots.png")
    diagonal = (480**2 + 320**2) ** 0.5
    for ratio in (0.1, 0.3, 0.6):
        boxes = boxes_of(path, diag_ratio=ratio).points
        least = min((box.width**2 + box.height**2) ** 0.5 for box in boxes)
        assert least >= ratio * diagonal - 2
    whole = boxes_of(path, aspect_ratio=1.5, diag_ratio=1).points
    assert [(box.x, box.y, box.width, box.height) for box in whole] == [(0, 0, 480, 320)]


def test_a_wide_step_looks_at_fewer_places(tmp_path: Path) -> None:
    path = spotted(tmp_path / "spot.png", ((120, 90),))
    fine, coarse = (boxes_of(path, step_ratio=step).points[0] for step in (0.01, 0.5))
    assert fine.score > coarse.score


def test_no_head_is_cut_through() -> None:
    best = boxes_of(ASTRONAUT).points[0]
    assert holds(best, 182, 45)
    assert holds(best, 270, 178)


def test_reverse_asks_for_what_nobody_looks_at(tmp_path: Path) -> None:
    path = spotted(tmp_path / "spot.png", ((120, 90),))
    dull = boxes_of(path, reverse=True).points
    assert not any(holds(box, 120, 90) for box in dull)
    assert not any(holds(box, 225, 115) for box in boxes_of(ASTRONAUT, reverse=True).points)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3_000, 1), (2, 900), (50, 50)])
def test_pictures_of_any_shape_are_taken(width: int, height: int, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.png", plain([9, 90, 200], width, height).pngsave_buffer())
    [box] = boxes_of(path, boxes_number=1).points
    assert box.x + box.width <= width
    assert box.y + box.height <= height


@pytest.mark.parametrize(
    "asked",
    [
        {"aspect_ratio": 0},
        {"aspect_ratio": "wide"},
        {"boxes_number": 0},
        {"boxes_number": 101},
        {"step_ratio": 0.001},
        {"diag_ratio": 1.5},
        {"reverse": "perhaps"},
    ],
)
def test_wrong_parameters_are_named(asked: dict[str, Any]) -> None:
    task = Registry.load(["tasks"]).get("image.smartcrop")
    assert task is not None
    _, problems = read_params(task, {"url": URL, **asked})
    assert list(problems) == list(asked)


@pytest.mark.parametrize("data", [b"", b"no picture", ROCKET.read_bytes()[:40_000]])
def test_a_broken_source_is_named(data: bytes, tmp_path: Path) -> None:
    path = write(tmp_path / "broken.jpg", data)
    with pytest.raises(TaskFailed, match=rf"File '{URL}' is not a valid image file"):
        points_of(path)
    with pytest.raises(TaskFailed, match=rf"File '{URL}' is not a valid image file"):
        boxes_of(path)


async def test_both_work_inside_of_a_confined_child() -> None:
    usual = decoders.settings(warm=WARM, environment=WARM_ENVIRONMENT, memory_bytes=2 * 1024**3)
    source = Source(url=URL, path=CAT, size=CAT.stat().st_size)
    params = SmartcropParams(url=URL)
    async with Decoders(usual) as children:
        seen = await children.call(saliency.find, URL, source, LIMITS, timeout_seconds=30)
        boxes = await children.call(smartcrop.find, params, source, LIMITS, timeout_seconds=30)
    assert seen.points
    assert boxes.points
