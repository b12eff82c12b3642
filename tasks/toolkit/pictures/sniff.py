"""Tells the format of a picture from the first bytes of its file."""

from msgspec import Struct

SNIFF_BYTES = 256
"""How many first bytes of a file `sniff` wants."""


class PictureFormat(Struct, frozen=True, kw_only=True):
    """A format that pictures are read in; `loader` is the libvips operation that reads it."""

    name: str
    content_type: str
    loader: str
    may_move: bool = False


JPEG = PictureFormat(name="jpeg", content_type="image/jpeg", loader="jpegload_source")
PNG = PictureFormat(name="png", content_type="image/png", loader="pngload_source")
GIF = PictureFormat(name="gif", content_type="image/gif", loader="gifload_source", may_move=True)
WEBP = PictureFormat(
    name="webp", content_type="image/webp", loader="webpload_source", may_move=True
)
AVIF = PictureFormat(name="avif", content_type="image/avif", loader="heifload_source")
HEIF = PictureFormat(name="heif", content_type="image/heif", loader="heifload_source")
TIFF = PictureFormat(name="tiff", content_type="image/tiff", loader="tiffload_source")

_BEGINNINGS = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0\x08\0", TIFF),
    (b"MM\0+\0\x08", TIFF),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(first_bytes: bytes) -> PictureFormat | None:
    """The format of a picture whose file starts so, or None; names and types told are no proof."""
    for beginning, format in _BEGINNINGS:
        if first_bytes.startswith(beginning):
            return format
    if first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP":
        return WEBP
    if first_bytes[4:8] == b"ftyp":
        return _sniff_heif(first_bytes)
    return None


def _sniff_heif(first_bytes: bytes) -> PictureFormat | None:
    """AVIF and HEIC share one container with MP4; the brands in its first box tell them apart."""
    end = min(int.from_bytes(first_bytes[:4], "big"), len(first_bytes))
    brands = {first_bytes[8:12], *(first_bytes[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return AVIF
    return HEIF if brands & _HEIF_BRANDS else None
