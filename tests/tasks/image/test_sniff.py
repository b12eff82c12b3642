"""The kind of a picture is told from its first bytes, and from nothing else."""

import pytest

from tasks.toolkit.pictures.sniff import sniff


def file_type_box(major: bytes, *compatible: bytes) -> bytes:
    size = 16 + 4 * len(compatible)
    return size.to_bytes(4, "big") + b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible)


@pytest.mark.parametrize(
    ("first_bytes", "content_type"),
    [
        (b"\xff\xd8\xff\xe1\x00\x10Exif", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF87a\1\0", "image/gif"),
        (b"GIF89a\1\0", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"II+\0\x08\0\0\0", "image/tiff"),
        (b"MM\0+\0\x08\0\0", "image/tiff"),
        (file_type_box(b"avif", b"mif1"), "image/avif"),
        (file_type_box(b"mif1", b"miaf", b"avif"), "image/avif"),
        (file_type_box(b"heic", b"mif1"), "image/heif"),
        (file_type_box(b"mif1", b"heic"), "image/heif"),
    ],
)
def test_a_picture_is_known_by_its_first_bytes(first_bytes: bytes, content_type: str) -> None:
    kind = sniff(first_bytes)
    assert kind is not None
    assert kind.content_type == content_type


@pytest.mark.parametrize(
    "first_bytes",
    [
        b"",
        b"\xff\xd8",
        b"hello",
        b"<!doctype html><html>",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7",
        b"P6\n2 2\n255\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"GIF88a",
        b"\0\0\0",
        file_type_box(b"isom", b"mp42"),
        file_type_box(b"isom") + b"avif",
        b" \x89PNG\r\n\x1a\n",
    ],
)
def test_everything_else_is_no_picture(first_bytes: bytes) -> None:
    assert sniff(first_bytes) is None


def test_only_gif_and_webp_may_move() -> None:
    moving = {b"GIF89a": True, b"RIFF\0\0\0\0WEBP": True, b"\xff\xd8\xff": False, b"II*\0": False}
    assert {first: getattr(sniff(first), "may_move", None) for first in moving} == moving
