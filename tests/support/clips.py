"""Short videos and sounds that tests make on the spot with ffmpeg, each made once."""

import os
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

FFMPEG = get_ffmpeg_exe()
SECONDS = 2
PICTURE = ("-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=25:duration={SECONDS}")
SOUND = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS}")
BOTH = (*PICTURE, *SOUND, "-shortest")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10")

ENDLESS = ("-f", "lavfi", "-i", "color=size=16x16:rate=5:duration=3000", "-preset", "ultrafast")
"""Of a film that takes long to enlarge."""

RECIPES: dict[str, Sequence[str]] = {
    "h264.mp4": (*BOTH, *_X264, "-c:a", "aac"),
    "fragments.mp4": (*BOTH, *_X264, "-movflags", "frag_keyframe+empty_moov"),
    "h264.mov": (*BOTH, *_X264, "-c:a", "aac"),
    "vp9.webm": (*BOTH, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "h264.mkv": (*BOTH, *_X264, "-c:a", "libmp3lame"),
    "live.mkv": (*BOTH, *_X264, "-c:a", "libmp3lame", "-live", "1"),
    "mpeg4.avi": (*BOTH, "-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "flv1.flv": (*BOTH, "-c:v", "flv", "-ar", "44100", "-c:a", "libmp3lame"),
    "h264.ts": (*BOTH, *_X264, "-c:a", "aac"),
    "mpeg2.mpg": (*BOTH, "-c:v", "mpeg2video", "-c:a", "mp2", "-f", "vob"),
    "theora.ogv": (*BOTH, "-c:v", "libtheora", "-c:a", "libvorbis"),
    "wmv2.wmv": (*BOTH, "-c:v", "wmv2", "-c:a", "wmav2"),
    "h263.3gp": (*BOTH, "-c:v", "h263", "-s", "176x144", "-ar", "8000", "-ac", "1"),
    "moving.gif": PICTURE,
    "vorbis.ogg": (*SOUND, "-c:a", "libvorbis"),
    "opus.opus": SOUND,
    "pcm.wav": SOUND,
    "mp3.mp3": SOUND,
    "flac.flac": SOUND,
    "aac.aac": SOUND,
    "wma.wma": SOUND,
    "aac.m4a": SOUND,
    "pcm.aiff": SOUND,
    "pcm.caf": SOUND,
    "amr.amr": (*SOUND, "-ar", "8000", "-ac", "1"),
}
"""The arguments that make a file of that name."""


class Clips:
    """Files made in one directory, which several processes may share.

    A name of `RECIPES` is enough, any other needs arguments.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, name: str, *arguments: str) -> Path:
        """The file of that name, made at the first call with these arguments."""
        recipe = arguments or RECIPES[name]
        folder = self._directory / f"{zlib.crc32(repr(recipe).encode()):08x}"
        path = folder / name
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            # Nobody sees half a file, and whoever makes the same one meanwhile does no harm.
            made = folder / f"{os.getpid()}-{name}"
            run_ffmpeg(*recipe, str(made))
            made.replace(path)
        return path


def run_ffmpeg(*arguments: str) -> None:
    """Raises CalledProcessError; ffmpeg writes only what went wrong."""
    command = (FFMPEG, "-nostdin", "-v", "error", "-y", *arguments)
    subprocess.run(command, check=True)
