"""What a page tells of one picture or video, at one place."""

import re
from typing import Literal

from msgspec import Struct

MediaType = Literal["image", "video"]

Place = Literal[
    "og",
    "twitter",
    "json-ld",
    "microdata",
    "image_src",
    "preload",
    "icon",
    "img",
    "picture",
    "video",
    "poster",
    "style",
]
"""Where a page may name a picture or a video."""

MAX_TITLE_LETTERS = 500

_LENGTH = re.compile(r"\s*\+?0*([1-9]\d{0,5})(?:\.\d*)?\s*(?:px)?\s*", re.ASCII)
_CONTENT_TYPE = re.compile(r"(?:image|video|application|text)/[a-z0-9.+-]{1,80}")


class Hint(Struct, frozen=True, kw_only=True):
    """`points` tell how likely it is the picture that the page is about: 0 hardly, 100 surely."""

    type: MediaType
    address: str
    place: Place
    points: float
    width: int | None = None
    height: int | None = None
    title: str | None = None
    content_type: str | None = None


class Hit(Struct, frozen=True, kw_only=True):
    """One picture or video; `source` is where the page names it, null what it does not tell."""

    type: MediaType
    url: str
    width: int | None
    height: int | None
    title: str | None
    content_type: str | None
    source: Place


def pixels(value: object) -> int | None:
    """A width or height as pages write it: `640`, `640px`, 640.0; nothing for `100%`."""
    if isinstance(value, int | float):
        value = str(value)
    found = _LENGTH.fullmatch(value) if isinstance(value, str) and len(value) < 40 else None
    return int(found[1]) if found else None


def words(*texts: object) -> str | None:
    """The first of these that says something, on one line."""
    for text in texts:
        if isinstance(text, str) and (line := " ".join(text[: 4 * MAX_TITLE_LETTERS].split())):
            return line[:MAX_TITLE_LETTERS]
    return None


def content_type(text: object) -> str | None:
    """`video/mp4` of `video/mp4; codecs="avc1"`."""
    if not isinstance(text, str):
        return None
    found = _CONTENT_TYPE.fullmatch(text[:200].partition(";")[0].strip().lower())
    return found[0] if found else None
