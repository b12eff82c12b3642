"""Draws the waveform of a sound with libvips; only decoder children import it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyvips import Image

from tasks.toolkit.audio.peaks import Extremes
from tasks.toolkit.colors import Color, rgba
from tasks.toolkit.geometry import Size

Numbers = NDArray[Any]

ROWS = 256
"""How many are drawn at once, so that numbers of them take little memory."""


def draw(extremes: Extremes, size: Size, vmargin: int, fill: Color, background: Color) -> Image:
    """A column for each step, from its lowest to its highest sample, with smooth ends."""
    low, high = _connected(extremes)
    inner = size.height - 2 * vmargin
    # The line of silence is a row of pixels; all swings are drawn by a pen as thick as that.
    silence, most = vmargin + inner // 2, (inner - 1) // 2
    top, bottom = silence - high * most, silence + 1 - low * most
    bands = [
        _covered(top, bottom, np.arange(start, min(start + ROWS, size.height)))
        for start in range(0, size.height, ROWS)
    ]
    mask = np.vstack(bands)
    image = Image.new_from_memory(mask.data, size.width, size.height, 1, "uchar")
    return image.maplut(_colours(fill, background)).copy(interpretation="srgb").copy_memory()


def _connected(extremes: Extremes) -> tuple[Numbers, Numbers]:
    """Neighbours that do not overlap are drawn to meet half way: else a slow wave is dots."""
    low, high = extremes.astype(np.float64)
    lower, higher = low.copy(), high.copy()
    for here, there in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
        higher[here] = np.maximum(higher[here], (high[here] + low[there]) / 2)
        lower[here] = np.minimum(lower[here], (low[here] + high[there]) / 2)
    return lower, higher


def _covered(top: Numbers, bottom: Numbers, rows: Numbers) -> Numbers:
    """How much of each pixel of these rows, 0 to 255, lies between both."""
    row = rows[:, np.newaxis]
    share = np.clip(np.minimum(bottom, row + 1) - np.maximum(top, row), 0, 1)
    covered: Numbers = np.rint(share * 255).astype(np.uint8)
    return covered


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
