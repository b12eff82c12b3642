"""Reads what a camera noted, out of the texts that libvips makes of EXIF tags.

A tag's text is its value and, in brackets, the same for people and its type:
`50/1 (50.0 mm, Rational, 1 components, 8 bytes)`. Files come from anywhere, so that a value
that makes no sense counts as unknown.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

TAGS = (
    "exif-ifd2-DateTimeOriginal",
    "exif-ifd2-DateTimeDigitized",
    "exif-ifd0-DateTime",
    "exif-ifd2-Flash",
    "exif-ifd2-FocalLength",
    "exif-ifd2-ISOSpeedRatings",
    "exif-ifd2-ExposureTime",
)
"""The tags that `read_shot` looks at."""

_ROTATIONS = {1: 0.0, 3: 180.0, 6: 270.0, 8: 90.0}
_DATE_TIME = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d(?!\d)", re.ASCII)
_NUMBER = re.compile(r"(\d{1,10})(?:/(\d{1,10}))?(?=\s|\Z)", re.ASCII)


class Shot(Struct, frozen=True, kw_only=True):
    """How a photograph was taken: millimetres, seconds, None where nothing is known."""

    date_time: str | None
    flash: bool | None
    focal_length: float | None
    iso_speed: float | None
    exposure_time: float | None


def read_shot(tags: Mapping[str, str]) -> Shot:
    """The shot that these texts of `TAGS` tell of."""
    flash = _number(tags.get("exif-ifd2-Flash", ""))
    return Shot(
        date_time=_date_time(tags),
        flash=None if flash is None else bool(int(flash) & 1),
        focal_length=_positive(tags.get("exif-ifd2-FocalLength", "")),
        iso_speed=_positive(tags.get("exif-ifd2-ISOSpeedRatings", "")),
        exposure_time=_positive(tags.get("exif-ifd2-ExposureTime", "")),
    )


def rotation_of(orientation: int | None) -> float | None:
    """Degrees counter-clockwise that turn a picture of that EXIF orientation upright.

    None for the orientations 2, 4, 5 and 7, which need a flip, and where nothing is known.
    Orientation 6 says that the first row stored is the right-hand side of the scene: a quarter
    turn clockwise puts it there, which is 270 degrees counter-clockwise.
    """
    return None if orientation is None else _ROTATIONS.get(orientation)


def _date_time(tags: Mapping[str, str]) -> str | None:
    for name in ("DateTimeOriginal", "DateTimeDigitized", "DateTime"):
        text = tags.get(f"exif-ifd2-{name}") or tags.get(f"exif-ifd0-{name}") or ""
        found = _DATE_TIME.match(text)
        if found and not found[0].startswith("0000"):
            return found[0]
    return None


def _positive(text: str) -> float | None:
    return _number(text) or None


def _number(text: str) -> float | None:
    found = _NUMBER.match(text)
    if not found:
        return None
    denominator = int(found[2] or 1)
    return int(found[1]) / denominator if denominator else None
