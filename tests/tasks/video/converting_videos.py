"""What video.convert makes of a film, and how a player sees it."""

import subprocess
from pathlib import Path
from typing import Any

import av
from imageio_ffmpeg import get_ffmpeg_exe

from tasks.video.convert import Converted, convert
from tests.support.studio import Studio, url

X264 = ("-c:v", "libx264", "-preset", "ultrafast")


async def made(studio: Studio, path: Path, **params: Any) -> Converted:
    return await studio.run(convert, {"url": url(path), **params})


def streams(path: Path) -> dict[str, Any]:
    """What a player sees: `times` are those of the frames, in seconds."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        told = {
            "video": video.codec_context.codec.canonical_name,
            "pixels": video.codec_context.pix_fmt,
            "matrix": video.codec_context.colorspace,
            "audio": [stream.codec_context.codec.canonical_name for stream in file.streams.audio],
            "rates": [stream.rate for stream in file.streams.audio],
            "channels": [stream.channels for stream in file.streams.audio],
            "metadata": dict(file.metadata),
        }
        frames = list(file.decode(video))
    keys = [number for number, frame in enumerate(frames) if frame.key_frame]
    return {**told, "times": [float(frame.time or 0) for frame in frames], "keys": keys}


def similarity(one: Path, other: Path, size: str = "160x90") -> float:
    """SSIM of all frames."""
    width, height = size.split("x")
    graph = f"[0:v]scale={width}:{height}[a];[1:v]scale={width}:{height}[b];[a][b]ssim=shortest=1"
    command = [get_ffmpeg_exe(), "-i", str(one), "-i", str(other), "-lavfi", graph]
    done = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, text=True)
    return float(done.stderr.rpartition("All:")[2].split()[0])
