"""Pictures that tests make on the spot, and what image.thumb makes of them."""

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import pyvips
from pyvips import Image

from dragon.task import MediaLimits
from tasks.image import thumb
from tasks.toolkit.geometry import Size
from tests.support.paths import MEDIA

CAT, ROCKET = MEDIA / "chelsea.png", MEDIA / "rocket.jpg"
ASTRONAUT = MEDIA / "astronaut.jpg"
URL = "http://files.com/cat.jpeg"
LIMITS = MediaLimits(max_pixels=100_000_000, max_frames=2000)
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (
    [250, 20, 20],
    [20, 200, 20],
    [20, 20, 250],
    [240, 240, 20],
)


class Thumbnail:
    """What image.thumb made of a file: the sizes it reports, the bytes, the picture."""

    def __init__(self, path: Path, limits: MediaLimits = LIMITS, **params: Any) -> None:
        with path.open("rb") as source, tempfile.TemporaryFile() as output:
            asked = thumb.ThumbParams(url=URL, **params)
            rendered = thumb.render(asked, source.fileno(), output.fileno(), limits)
            self.data = os.pread(output.fileno(), 10_000_000, 0)
        moves = asked.format in ("gif", "webp")
        options = {"n": -1} if moves else {}
        self.image = Image.new_from_buffer(self.data, "", **options)
        self.size = rendered.output
        self.original = rendered.original
        assert self.size == Size(self.image.width, self.image.get_page_height())

    def frame(self, index: int) -> Image:
        return self.image.crop(0, index * self.size.height, self.size.width, self.size.height)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def plain(color: list[int], width: int = 80, height: int = 60) -> Image:
    image = (Image.black(width, height, bands=len(color)) + color).cast("uchar")
    return image.copy(interpretation="srgb")


def corners() -> Image:
    """60 x 40 with a colour of its own in each corner."""
    squares = [plain(color, 30, 20) for color in (TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT)]
    return Image.arrayjoin(squares, across=2)


def animation(count: int = 4) -> Image:
    """Frames of 60 x 40 of growing brightness; delays 50, 60, ... ms, three times."""
    frames = [plain([60 * index + 10] * 3, 60, 40) for index in range(count)]
    joined = Image.arrayjoin(frames, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", 40)
    joined.set_type(pyvips.GValue.gint_type, "loop", 3)
    delays = [50 + 10 * index for index in range(count)]
    joined.set_type(pyvips.GValue.array_int_type, "delay", delays)
    return joined


def psnr(one: Image, other: Image) -> float:
    return 10 * math.log10(255**2 / max(((one - other) ** 2).avg(), 1e-9))
