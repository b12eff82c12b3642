"""Chooses parts of a picture by what people look at: faces first, then what stands out.

Only decoder children import this.
"""

from typing import Any

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from pyvips import Image

from tasks.toolkit.geometry import Rectangle, Size, shrink_to
from tasks.toolkit.sight.faces import FaceFinder
from tasks.toolkit.sight.pixels import Map, pixels_of
from tasks.toolkit.sight.saliency import saliency_map, with_faces

FACES_SIDE = 640
"""The longest side of a picture whose faces are to be kept: what is small there is no subject."""

_HEADS_OVER_ALL = 4.0
_AROUND_A_FACE = 0.3
"""Hair, ears and chin, as a share of what is found of a face."""
_EDGE_LOSS = 0.5
"""How much less counts what lies at the edge of a window: what is looked at belongs inside."""


class Attention(Struct, frozen=True, kw_only=True):
    """What draws the eye in a picture; `heads` are parts of a picture of `size`."""

    size: Size
    heads: list[Rectangle]
    map: Map

    def window(self, picture: Size, window: Size) -> Rectangle:
        """Where in the picture, of whatever size, a window keeps the most that is looked at.

        The window must fit into the picture; in the middle where nothing draws the eye.
        """
        height, width = self.map.shape
        wide = _cells(window.width, picture.width, width)
        high = _cells(window.height, picture.height, height)
        score = self._kept(wide, high) + _HEADS_OVER_ALL * self._heads_kept(wide, high)
        y, x = np.unravel_index(int(np.argmax(score + _centred(score.shape))), score.shape)
        places = score.shape if self.map.any() else (1, 1)
        return Rectangle(
            _place(int(x), places[1], picture.width - window.width),
            _place(int(y), places[0], picture.height - window.height),
            window.width,
            window.height,
        )

    def heads_in(self, picture: Size) -> list[Rectangle]:
        """Where the heads are in another size of the picture, the surest first."""
        return [head.scaled(self.size, picture) for head in self.heads]

    def _kept(self, wide: int, high: int) -> Map:
        """The share of the map that a window keeps, for each place of its upper left corner."""
        down, across = _weights(high), _weights(wide)
        rows, columns = self.map.shape[0] - high + 1, self.map.shape[1] - wide + 1
        kept = cv2.sepFilter2D(
            self.map, cv2.CV_32F, across, down, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT
        )
        return np.asarray(kept[:rows, :columns] / max(float(self.map.sum()), 1e-6), np.float32)

    def _heads_kept(self, wide: int, high: int) -> Map:
        """The same for heads: a large one counts for more, half of one for less than half."""
        height, width = self.map.shape
        kept = np.zeros((height - high + 1, width - wide + 1), np.float32)
        scale_x, scale_y = width / self.size.width, height / self.size.height
        weights = [float(head.width * head.height) ** 0.5 for head in self.heads]
        for head, weight in zip(self.heads, weights, strict=True):
            across = _overlap(head.x * scale_x, head.width * scale_x, wide, kept.shape[1])
            down = _overlap(head.y * scale_y, head.height * scale_y, high, kept.shape[0])
            kept += weight / sum(weights) * np.outer(down, across)
        return kept


def attend(image: Image) -> Attention:
    """What draws the eye in a picture, that is upright, or in the first frame of it."""
    size = shrink_to(Size(image.width, image.get_page_height()), FACES_SIDE)
    pixels = pixels_of(image, size)
    faces = [face.rectangle for face in FaceFinder().find(pixels)]
    return Attention(
        size=size,
        heads=[_head(face, size) for face in faces],
        map=with_faces(saliency_map(pixels), faces, size),
    )


def crop_window(image: Image, window: Size) -> Rectangle:
    """The part of `image`, `window` pixels large, that keeps its faces and what draws the eye.

    For several windows of one picture, or for another size of it: `attend(image).window(...)`.
    """
    return attend(image).window(Size(image.width, image.get_page_height()), window)


def _head(face: Rectangle, size: Size) -> Rectangle:
    left = max(0, round(face.x - face.width * _AROUND_A_FACE))
    top = max(0, round(face.y - face.height * _AROUND_A_FACE))
    right = min(size.width, round(face.x + face.width * (1 + _AROUND_A_FACE)))
    bottom = min(size.height, round(face.y + face.height * (1 + _AROUND_A_FACE)))
    return Rectangle(left, top, right - left, bottom - top)


def _cells(length: int, of: int, cells: int) -> int:
    return min(cells, max(1, round(length * cells / of)))


def _place(index: int, places: int, room: int) -> int:
    return round(index * room / (places - 1)) if places > 1 else room // 2


def _weights(length: int) -> NDArray[Any]:
    place = (np.arange(length) + 0.5) / length * 2 - 1
    return (1 - _EDGE_LOSS * place**2).astype(np.float32)


def _overlap(start: float, length: float, window: int, places: int) -> NDArray[Any]:
    """How much of a head is kept along one side, for each place of the window."""
    place = np.arange(places)
    kept = np.minimum(place + window, start + length) - np.maximum(place, start)
    off_centre = (start + length / 2 - place - window / 2) / max(window, length) * 2
    share = kept.clip(min=0) / min(length, window)
    return np.asarray(share**2 * (1 - _EDGE_LOSS * off_centre.clip(-1, 1) ** 2), np.float32)


def _centred(shape: tuple[int, ...]) -> Map:
    """What decides between places that are as good as each other."""
    down, across = (np.abs(np.arange(count) - (count - 1) / 2) for count in shape)
    distance: Map = down[:, None] + across[None, :]
    return distance * -1e-6
