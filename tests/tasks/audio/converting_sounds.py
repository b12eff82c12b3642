"""What audio.convert makes of a sound, and what a player plays of it."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from tasks.audio.convert import Converted, convert
from tests.support.studio import Studio, url


async def made(studio: Studio, path: Path, **params: Any) -> Converted:
    return await studio.run(convert, {"url": url(path), **params})


def samples(path: Path, rate: int = 48000) -> NDArray[Any]:
    """What a player plays of the first channel."""
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-map", "0:a"]
    command += ["-ar", str(rate), "-f", "f32le", "-af", "pan=mono|c0=c0", "-"]
    played = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(played, np.float32)
