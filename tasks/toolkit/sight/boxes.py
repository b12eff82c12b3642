"""Searches a map of a picture for the rectangles that hold the most of it, and do not overlap.

Only decoder children import this.
"""

import math
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tasks.toolkit.geometry import Rectangle, Size
from tasks.toolkit.sight.pixels import Map

Boxes = NDArray[Any]
"""One row each: score, left, top, right, bottom, in pixels of the picture."""


_LOSS_BY_CUTS = 2.0
_MOST_HEADS = 30


class Search(Struct, frozen=True, kw_only=True):
    """What is looked for: `step_ratio` and `diag_ratio` are shares of the picture's diagonal.

    `aspect_ratio` is width by height; the smallest box has the diagonal `diag_ratio`, larger ones
    and other places follow in steps; `most` are wanted at the most.
    """

    aspect_ratio: float
    step_ratio: float
    diag_ratio: float
    most: int


class Box(Struct, frozen=True):
    """`score` is 1 for all that is more than average in the picture, less for a part of it."""

    rectangle: Rectangle
    score: float


def best_boxes(map: Map, heads: list[Rectangle], size: Size, search: Search) -> list[Box]:
    """The boxes with the most that is above the map's average, the best first.

    What is below it counts against a box, so that it is as large as what it shows; so does a
    head that is cut through. There is always one; the others are above average too.
    """
    worth = np.asarray(map - map.mean(), np.float64)
    all_worth = max(float(worth.clip(min=0).sum()), 1e-9)
    left = _candidates(worth, size, search)
    left[:, 0] -= _LOSS_BY_CUTS * all_worth * _cuts(left, heads)
    found: list[Box] = []
    while len(left) and len(found) < search.most:
        best = left[np.argmax(left[:, 0])]
        score = float(best[0]) / all_worth
        if found and score < 1e-3:
            break
        found.append(Box(_rectangle(best), round(max(score, 0.0), 4)))
        left = left[~_overlap(left, best)]
    return found


def _candidates(worth: Map, size: Size, search: Search) -> Boxes:
    diagonal = math.hypot(size.width, size.height)
    widest = min(size.width, size.height * search.aspect_ratio)
    step = search.step_ratio * diagonal
    # The width of a box of this aspect ratio is this share of its diagonal.
    smallest = search.diag_ratio * diagonal * math.cos(math.atan(1 / search.aspect_ratio))
    widths = _steps(min(smallest, widest), widest, step)
    sums = np.pad(worth, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    boxes = [
        _boxes_of(sums, size, float(width), float(width) / search.aspect_ratio, step)
        for width in widths[::-1]
    ]
    return np.concatenate(boxes)


def _boxes_of(sums: Map, size: Size, width: float, height: float, step: float) -> Boxes:
    """All places of one size, with the sum of the map in each."""
    left = _steps(0, size.width - width, step)
    top = _steps(0, size.height - height, step)
    right, bottom = left + width, top + height
    rows = _between(sums, bottom / size.height) - _between(sums, top / size.height)
    held = _between(rows.T, right / size.width) - _between(rows.T, left / size.width)
    column, line = (index.ravel() for index in np.indices(held.shape))
    return np.stack([held.ravel(), left[column], top[line], right[column], bottom[line]], axis=1)


def _cuts(boxes: Boxes, heads: list[Rectangle]) -> NDArray[Any]:
    """How much heads are cut through: a quarter for one that is halved, 0 for one left out."""
    cuts = np.zeros(len(boxes))
    for head in heads[:_MOST_HEADS]:
        ends = head.x, head.y, head.x + head.width, head.y + head.height
        width, height = _common(boxes, np.asarray([0, *ends]))
        share = width.clip(min=0) * height.clip(min=0) / (head.width * head.height)
        cuts += share * (1 - share)
    return cuts


def _steps(first: float, last: float, step: float) -> NDArray[Any]:
    """From the first by steps, and the last in any case."""
    return np.append(np.arange(first, last - 1e-6, step), max(first, last))


def _between(table: Map, places: NDArray[Any]) -> Map:
    """The rows of a table at shares of its height, also between two rows."""
    exact = places.clip(0, 1) * (len(table) - 1)
    above = np.minimum(exact.astype(int), len(table) - 2)
    part = (exact - above)[:, None]
    rows: Map = table[above] * (1 - part) + table[above + 1] * part
    return rows


def _overlap(boxes: Boxes, box: Boxes) -> NDArray[Any]:
    width, height = _common(boxes, box)
    return np.asarray((width > 1e-6) & (height > 1e-6))


def _common(boxes: Boxes, box: Boxes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Width and height of what each of the boxes has in common with one, below 0 for none."""
    width = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    height = np.minimum(boxes[:, 4], box[4]) - np.maximum(boxes[:, 2], box[2])
    return width, height


def _rectangle(box: Boxes) -> Rectangle:
    left, top, right, bottom = (round(float(side)) for side in box[1:])
    return Rectangle(left, top, max(1, right - left), max(1, bottom - top))
