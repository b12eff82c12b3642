"""Draws the waveform of a sound with libvips; only decoder children import it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyvips import Image

from tasks.toolkit.colors import Color, rgba
from tasks.toolkit.geometry import Size
from tasks.toolkit.peaks import Extremes

ROWS = 256
"""How many are drawn at once, so that numbers of them take little memory."""


def draw(extremes: Extremes, size: Size, vmargin: int, fill: Color, background: Color) -> Image:
    """A column for each step, from its lowest to its highest sample, with smooth ends."""
    low, high = _connected(extremes)
    inner = size.height - 2 * vmargin
    top, bottom = (vmargin + (1 - edge) / 2 * inner for edge in (high, low))
    # Silence is a line, too, and lies on one row.
    is_thin = bottom - top < 1
    row = np.clip(np.floor((top + bottom) / 2), vmargin, size.height - vmargin - 1)
    top, bottom = np.where(is_thin, row, top), np.where(is_thin, row + 1, bottom)
    bands = [
        _covered(top, bottom, np.arange(start, min(start + ROWS, size.height)))
        for start in range(0, size.height, ROWS)
    ]
    mask = np.vstack(bands)
    image = Image.new_from_memory(mask.data, size.width, size.height, 1, "uchar")
    return image.maplut(_colours(fill, background)).copy(interpretation="srgb").copy_memory()


def _connected(extremes: Extremes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Neighbours that do not overlap are drawn to meet half way: else a slow wave is dots."""
    low, high = extremes.astype(np.float64)
    lower, higher = low.copy(), high.copy()
    for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        higher[here] = np.maximum(higher[here], (high[here] + low[there]) / 2)
        lower[here] = np.minimum(lower[here], (low[here] + high[there]) / 2)
    return lower, higher


def _covered(
    top: NDArray[np.float64], bottom: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[Any]:
    """How much of each pixel of these rows, 0 to 255, lies between both."""
    row = rows[:, np.newaxis]
    share = np.minimum(bottom, row + 1) - np.maximum(top, row)
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _colours(fill: Color, background: Color) -> Image:
    """For each share of a pixel that is covered, the fill laid over the background."""
    over, under = np.array(rgba(fill)) / 255, np.array(rgba(background)) / 255
    share = np.linspace(0, over[3], 256)[:, np.newaxis]
    rest = under[3] * (1 - share)
    alpha = share + rest
    mixed = (over[:3] * share + under[:3] * rest) / np.maximum(alpha, 1e-9)
    bands = mixed if under[3] == 1 else np.hstack([mixed, alpha])
    table = np.rint(bands * 255).astype(np.uint8)[np.newaxis]
    return Image.new_from_array(table)
