"""Files that are no pictures, are cut or would unfold to too much are refused in plain words."""

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import pyvips
from pyvips import Image

from dragon.engine.isolation.pool import Decoders
from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks import WARM, WARM_ENVIRONMENT
from tasks.image import info
from tasks.toolkit.geometry import Size
from tasks.toolkit.pictures import vips
from tests.support import decoders
from tests.support.decoders import Logs
from tests.support.pictures import CAT, LIMITS, URL, Thumbnail, animation, plain, write

NOT_VALID = f"File '{URL}' is not a valid image file"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<!doctype html><html></html>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"P6\n2 2\n255\nabcabcabcabc",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"GIF89a" + b"\0" * 100,
        b"II*\0" + b"\xff" * 100,
        b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 100,
        b"\0\0\0\x1cftypavif\0\0\0\0mif1avif" + b"\0" * 100,
    ],
)
def test_what_is_no_picture_is_refused_in_plain_words(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(TaskFailed) as refused:
        Thumbnail(write(tmp_path / "cat.jpeg", data), width=10)
    assert refused.value.message == NOT_VALID


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "avif", "tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_a_cut_file_is_refused_rather_than_half_grey(
    kind: str, share: float, tmp_path: Path
) -> None:
    image = Image.new_from_file(str(CAT))
    data = vips.resize(image, Size(150, 100)).write_to_buffer(f".{kind}", keep="none")
    assert Thumbnail(write(tmp_path / "whole", data), width=50).size.width == 50
    with pytest.raises(TaskFailed, match="is not a valid image file"):
        Thumbnail(write(tmp_path / "cut", data[: int(len(data) * share)]), width=50)


def test_a_cut_animation_is_refused(tmp_path: Path) -> None:
    frames = [vips.resize(Image.new_from_file(str(CAT)), Size(60, 40)).rot180() for _ in range(3)]
    moving = Image.arrayjoin([*frames, frames[0].invert()], across=1).copy()
    moving.set_type(pyvips.GValue.gint_type, "page-height", 40)
    data = moving.gifsave_buffer()
    assert Thumbnail(write(tmp_path / "whole.gif", data), format="gif").size == Size(60, 40)
    assert Thumbnail(write(tmp_path / "no-trailer.gif", data[:-1])).size == Size(60, 40)
    with pytest.raises(TaskFailed, match="is not a valid image file"):
        Thumbnail(write(tmp_path / "cut.gif", data[:-40]), format="gif")


def test_a_heif_picture_of_an_unknown_codec_is_named_so(tmp_path: Path) -> None:
    heic = write(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)
    with pytest.raises(TaskFailed, match="HEIF picture that cannot be read"):
        Thumbnail(heic)


@pytest.mark.parametrize(
    ("limits", "params", "message"),
    [
        (
            MediaLimits(max_pixels=9599, max_frames=4),
            {"width": 10, "format": "gif"},
            f"File '{URL}' has 60x40 pixels in each of 4 frames, "
            "more than the limit of 9599 (max_pixels)",
        ),
        (
            MediaLimits(max_pixels=9600, max_frames=3),
            {"width": 10, "format": "webp"},
            f"File '{URL}' has 4 frames, more than the limit of 3 (max_frames)",
        ),
        (
            MediaLimits(max_pixels=9600, max_frames=4),
            {"width": 61, "format": "gif"},
            "The resized picture has 61x41 pixels in each of 4 frames, "
            "more than the limit of 9600 (max_pixels)",
        ),
        (
            MediaLimits(max_pixels=9600, max_frames=1),
            {"width": 200},
            "The resized picture has 200x133 pixels, more than the limit of 9600 (max_pixels)",
        ),
    ],
)
def test_limits_hold_before_anything_is_decoded(
    limits: MediaLimits, params: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.gif", animation().gifsave_buffer())
    with pytest.raises(TaskFailed) as refused:
        Thumbnail(path, limits, **params)
    assert refused.value.message == message
    assert Thumbnail(path, MediaLimits(max_pixels=9600, max_frames=4), format="gif").size


def test_a_format_that_cannot_hold_the_size_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.png", plain([9], 17_000, 2).pngsave_buffer())
    with pytest.raises(TaskFailed, match="17000x2 pixels, webp holds 16383 a side"):
        Thumbnail(path, format="webp")


async def test_what_libvips_warns_of_in_bytes_that_are_no_text_is_not_logged(
    tmp_path: Path, logs: Logs
) -> None:
    source = decoders.source(tmp_path / "named.png", png_with_profile(b"\x80"))
    usual = decoders.settings(warm=WARM, environment=WARM_ENVIRONMENT, memory_bytes=2 * 1024**3)
    async with Decoders(usual) as children:
        about = await children.call(info.inspect, URL, source, LIMITS, timeout_seconds=30)
    assert (about.width, about.height) == (80, 60)
    assert decoders.written(logs) == ""


def png_with_profile(name: bytes) -> bytes:
    """With a colour profile of that name, in which libpng finds what it does not know."""
    data: bytes = plain([1, 2, 3]).write_to_buffer(".png", keep="none")
    profile = bytearray(Image.profile_load("srgb"))
    profile[64:68] = b"\xff" * 4
    content = b"iCCP" + name + b"\0\0" + zlib.compress(bytes(profile))
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    header_bytes = 33
    return data[:header_bytes] + chunk + data[header_bytes:]
