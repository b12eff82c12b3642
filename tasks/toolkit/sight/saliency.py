"""Tells what in a picture draws the eye: a map of it, and its peaks; for decoder children only.

What differs in colour or brightness from its surroundings, be they near or far, stands out; and
where many things do, each does so less. (After Itti, Koch and Niebur, "A Model of Saliency-Based
Visual Attention for Rapid Scene Analysis", 1998.)
"""

from functools import reduce

import cv2
import numpy as np
from msgspec import Struct

from tasks.toolkit.geometry import Rectangle, Size
from tasks.toolkit.sight.pixels import Map, Pixels

MAP_SIDE = 160
"""The longest side of a map: what is smaller than a hundredth of a picture catches no eye."""

_SPOTS = ((0.01, 0.08), (0.02, 0.16), (0.04, 0.32))
"""How far spots and their surroundings reach, as shares of the longest side."""
_FACES_OVER_ALL = 1.5
_MIDDLE_REACH = 0.6
_LEAST_PEAK = 0.2
_PEAK_REACH = 0.06


class Peak(Struct, frozen=True):
    """A point that draws the eye, as shares of width and height; `weight` is 0 to 1."""

    x: float
    y: float
    weight: float


def saliency_map(pixels: Pixels) -> Map:
    """How much each place draws the eye; all 0 where nothing does more than the rest."""
    height, width = pixels.shape[:2]
    factor = min(1.0, MAP_SIDE / max(height, width))
    side = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    spots = [_stands_out(colours, *reaches) for reaches in _SPOTS]
    together = reduce(np.add, spots) * _middle(*colours.shape[:2])
    return _to_one(_blurred(together, 0.01))


def with_faces(map: Map, faces: list[Rectangle], size: Size) -> Map:
    """The map of a picture of `size` in which these faces draw the eye before all else."""
    rows, columns = np.mgrid[0 : map.shape[0], 0 : map.shape[1]] + 0.5
    scale_x, scale_y = map.shape[1] / size.width, map.shape[0] / size.height
    raised = map.copy()
    for face in faces:
        x = (columns / scale_x - face.x - face.width / 2) / face.width
        y = (rows / scale_y - face.y - face.height / 2) / face.height
        raised = np.maximum(raised, _FACES_OVER_ALL * np.exp(-2 * (x**2 + y**2)))
    return _to_one(raised.astype(np.float32))


def peaks(map: Map, most: int) -> list[Peak]:
    """The points that draw the eye most, the strongest first, each some way from the others."""
    height, width = map.shape
    reach = 2 * round(max(height, width) * _PEAK_REACH) + 1
    around = cv2.dilate(map, np.ones((reach, reach), np.uint8))
    rows, columns = np.nonzero((map >= around) & (map >= _LEAST_PEAK))
    order = np.argsort(-map[rows, columns], kind="stable")[:most]
    return [
        Peak(
            (float(columns[index]) + 0.5) / width,
            (float(rows[index]) + 0.5) / height,
            round(float(map[rows[index], columns[index]]), 4),
        )
        for index in order
    ]


def _stands_out(colours: Map, spot: float, surroundings: float) -> Map:
    difference = _blurred(colours, spot) - _blurred(colours, surroundings)
    distance = np.sqrt((difference**2).sum(axis=2))
    # Below a just noticeable difference there is nothing to see, however alone it stands.
    distance = _to_one(np.maximum(distance - 2, 0))
    return np.asarray(distance * (1 - distance.mean()) ** 2, np.float32)


def _blurred(map: Map, reach: float) -> Map:
    sigma = reach * max(map.shape[:2])
    blurred = cv2.GaussianBlur(map, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _middle(height: int, width: int) -> Map:
    """Who takes a picture holds the camera at what it is about."""
    y = np.linspace(-1, 1, height) if height > 1 else np.zeros(1)
    x = np.linspace(-1, 1, width) if width > 1 else np.zeros(1)
    reach = 2 * _MIDDLE_REACH
    return np.exp(-((x[None, :] / reach) ** 2 + (y[:, None] / reach) ** 2)).astype(np.float32)


def _to_one(map: Map) -> Map:
    highest = float(map.max())
    return map / highest if highest > 0 else map
