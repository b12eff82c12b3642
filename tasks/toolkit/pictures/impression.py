"""Sums up how a picture looks in a few bytes; only decoder children import it."""

from itertools import chain

from blurhash import encode
from msgspec import Struct
from pyvips import Image

from tasks.toolkit.colors import DominantColor

SIDE = 64
"""The longest side of a picture that is summed up: more pixels take time and change nothing."""

_BLURHASH_SIDE = 32
_COLORS = 5
_LEAST_SHARE = 0.01
_CELL = 6.0
"""Colours so near in Lab are counted as one; 2 is just visible."""
_UNLIKE = 15.0
"""How far apart dominant colours are at least."""
_ROUNDS = 8

Lab = tuple[float, ...]


class _Shade(Struct, frozen=True):
    """So many pixels of about that colour."""

    color: Lab
    count: int


def blurhash_of(image: Image) -> str:
    """The BlurHash of a picture of at most 64 pixels a side, 8-bit sRGB or grey; clear is white."""
    small = image.thumbnail_image(_BLURHASH_SIDE, height=_BLURHASH_SIDE, size="down")
    if small.hasalpha():
        small = small.flatten(background=255)
    across, down = (4, 3) if image.width >= image.height else (3, 4)
    return str(encode(_rows(small.colourspace("srgb")), across, down))


def dominant_colors(image: Image) -> list[DominantColor]:
    """Up to five colours that together come near to all of a picture of at most 64 pixels a side.

    The most frequent first; none of a picture that is all clear. Found by k-means in Lab.
    """
    shades = _shades(image)
    centres = _distinct(shades)
    for _ in range(_ROUNDS):
        centres = [_mean(cluster) for cluster in _clusters(shades, centres)]
    total = sum(shade.count for shade in shades)
    found = [
        DominantColor(color=_hexadecimal(centre.color), share=round(centre.count / total, 3))
        for centre in sorted(centres, key=lambda centre: -centre.count)
    ]
    return [one for one in found if one.share >= _LEAST_SHARE]


def _shades(image: Image) -> list[_Shade]:
    """The visible pixels, those of about one colour together."""
    cells: dict[tuple[int, ...], list[_Shade]] = {}
    for pixel in chain.from_iterable(_rows(image.colourspace("lab").cast("float"))):
        if len(pixel) == 3 or pixel[3] >= 128:
            place = tuple(round(value / _CELL) for value in pixel[:3])
            cells.setdefault(place, []).append(_Shade(pixel[:3], 1))
    return [_mean(cell) for cell in cells.values()]


def _distinct(shades: list[_Shade]) -> list[_Shade]:
    """The most frequent one, then each time the one that the others stand for worst."""
    chosen: list[_Shade] = []
    while shades and len(chosen) < _COLORS:
        chosen.append(max(shades, key=lambda shade: shade.count * _distance(shade, chosen)))
        shades = [shade for shade in shades if _distance(shade, chosen) > _UNLIKE**2]
    return chosen


def _clusters(shades: list[_Shade], centres: list[_Shade]) -> list[list[_Shade]]:
    clusters: dict[int, list[_Shade]] = {}
    for shade in shades:
        distances = [_distance(shade, [centre]) for centre in centres]
        clusters.setdefault(distances.index(min(distances)), []).append(shade)
    return list(clusters.values())


def _distance(shade: _Shade, others: list[_Shade]) -> float:
    """The square of the distance to the nearest of the others; far from none is 1."""
    light, a, b = shade.color
    distances = (
        (light - other_light) ** 2 + (a - other_a) ** 2 + (b - other_b) ** 2
        for other_light, other_a, other_b in (other.color for other in others)
    )
    return min(distances, default=1.0)


def _mean(shades: list[_Shade]) -> _Shade:
    count = sum(shade.count for shade in shades)
    sums = (sum(s.color[at] * s.count for s in shades) for at in range(3))
    return _Shade(tuple(value / count for value in sums), count)


def _hexadecimal(color: Lab) -> str:
    pixel = (Image.black(1, 1, bands=3) + list(color)).copy(interpretation="lab")
    return "#" + "".join(f"{round(value):02x}" for value in pixel.colourspace("srgb")(0, 0))


def _rows(image: Image) -> list[list[tuple[float, ...]]]:
    """The pixels of an image of bytes or floats."""
    data = memoryview(image.write_to_memory())
    values = iter(data.cast("f") if image.format == "float" else data)
    pixels = list(zip(*[values] * image.bands, strict=True))
    return [pixels[at : at + image.width] for at in range(0, len(pixels), image.width)]
