"""What somebody sees and hears of a video."""

import subprocess
from pathlib import Path

import av
from imageio_ffmpeg import get_ffmpeg_exe
from pyvips import Image


def picture(path: Path, time: float = 0.0) -> Image:
    """A frame as a player shows it."""
    command = [get_ffmpeg_exe(), "-v", "error", "-ss", str(time), "-i", str(path)]
    command += ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    png = subprocess.run(command, check=True, capture_output=True).stdout
    return Image.new_from_buffer(png, "")


def flashes(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [
            float(frame.time or 0)
            for frame in file.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 128
        ]


def beeps(path: Path) -> list[float]:
    """Where sound begins after silence."""
    found: list[float] = []
    last = -1.0
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            samples = frame.to_ndarray()[0]
            for index in (abs(samples) > 0.2).nonzero()[0]:
                time = float(frame.time or 0) + index / frame.sample_rate
                if time - last > 0.3:
                    found.append(round(time, 3))
                last = time
    return found
