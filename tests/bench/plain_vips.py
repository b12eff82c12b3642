"""libvips alone, a process of its own: makes the photograph, and thumbnails of it in a loop."""

import os
import sys
import time

os.environ["VIPS_CONCURRENCY"] = "1"

import pyvips


def make(source: str, target: str) -> None:
    """A photograph of 12 megapixels: the small one, enlarged to 2000x1500 and tiled."""
    tile = pyvips.Image.thumbnail(source, 2000, height=1500, size="force")
    tile.replicate(2, 2).jpegsave(target, Q=85)


def loop(path: str, seconds: str) -> None:
    """Print thumbnails a second."""
    pyvips.cache_set_max(0)
    _thumbnail(path)
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < float(seconds):
        _thumbnail(path)
        count += 1
    print(count / (time.perf_counter() - began))


def _thumbnail(path: str) -> bytes:
    image = pyvips.Image.thumbnail(path + "[fail_on=error]", 300, height=200, output_profile="srgb")
    saved: bytes = image.jpegsave_buffer(Q=85, optimize_coding=True, keep="none")
    return saved


if __name__ == "__main__":
    {"make": make, "loop": loop}[sys.argv[1]](*sys.argv[2:])
