"""What video.thumb makes of a file, and what ffmpeg makes of it by hand."""

import os
import tempfile
from pathlib import Path
from typing import Any

from pyvips import Image

from dragon.task import MediaLimits
from tasks.toolkit.geometry import Size
from tasks.toolkit.progress import Progress
from tasks.video import thumb
from tests.support.clips import run_ffmpeg
from tests.support.pictures import URL


class Still:
    """What video.thumb made of a file: what it reports, the bytes, the picture."""

    def __init__(self, path: Path, limits: MediaLimits | None = None, **params: Any) -> None:
        with path.open("rb") as source, tempfile.TemporaryFile() as output:
            asked = thumb.ThumbParams(url=URL, **params)
            self.told: list[Progress] = []
            made = thumb.render(
                asked,
                source.fileno(),
                output.fileno(),
                limits or MediaLimits(),
                self.told.append,
            )
            self.data = os.pread(output.fileno(), 10_000_000, 0)
        self.image = Image.new_from_buffer(self.data, "")
        self.size, self.original, self.duration = made.output, made.original, made.duration
        assert self.size == Size(self.image.width, self.image.height)


def png(path: Path, **params: Any) -> Image:
    """The still without loss."""
    return Still(path, format="png", **params).image


def by_hand(film: Path, png: Path, seconds: float = 0, scale: str = "") -> Image:
    """The frame that ffmpeg takes, as precise in its colours as we are.

    Unless told, its command line takes colours to lie in the middle of two pixels; in H.264 they
    lie on the left one.
    """
    flags = "flags=bicubic+accurate_rnd+full_chroma_int:in_h_chr_pos=0,format=rgb24"
    filters = f"scale={scale}:{flags}" if scale else f"scale={flags}"
    run_ffmpeg("-ss", str(seconds), "-i", str(film), "-frames:v", "1", "-vf", filters, str(png))
    return Image.new_from_file(str(png)).copy_memory()
