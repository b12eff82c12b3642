"""Finds the pictures and videos that a page shows: img, picture, video, backgrounds."""

import re
from collections.abc import Iterator
from itertools import islice

import msgspec
from selectolax.lexbor import LexborHTMLParser, LexborNode

from tasks.toolkit.page.hints import Hint, MediaType, Place, content_type, pixels, words
from tasks.toolkit.page.srcset import candidates

Attributes = dict[str, str | None]

SHOWN = 'img, amp-img, picture > source, video, amp-video, video > source, [style*="url("]'
MAX_ELEMENTS = 5000
MAX_CANDIDATES = 50
"""Of one srcset."""

_SOURCES = ("data-src", "data-original", "data-lazy-src", "src")
_SOURCE_SETS = ("data-srcset", "data-lazy-srcset", "srcset")
"""Pages that load pictures late have the real ones in an attribute of their own."""

_IMAGE, _VIDEO, _POSTER, _BACKGROUND = 40.0, 50.0, 70.0, 25.0
_VARIANT = -30.0
"""For the same picture in another size, or a placeholder."""

_PLACES = {"article": 10.0, "main": 10.0, "header": -25.0, "nav": -25.0, "footer": -25.0} | {
    "aside": -25.0
}
_HIGHEST = 50
"""So many elements are looked at above one."""

_TITLES = ("alt", "title", "aria-label")
_BACKGROUND_URL = re.compile(
    r"""url\(\s*(?:"([^"]{1,8192})"|'([^']{1,8192})'|([^"')\s]{1,8192}))""", re.IGNORECASE
)


def shown_in_body(tree: LexborHTMLParser) -> Iterator[Hint]:
    """The hints of all elements that show something, in the order of the page."""
    sources: list[Attributes] = []
    for node in islice(tree.css(SHOWN), MAX_ELEMENTS):
        attributes = node.attributes
        place = _points_of_place(node)
        parent = node.parent.tag if node.parent else None
        if parent == "picture" and node.tag == "source":
            # Its img, which tells what the picture is, comes after it.
            sources.append(attributes)
        elif node.tag in ("img", "amp-img"):
            yield from _image(attributes, sources if parent == "picture" else [], place)
            sources = []
        elif node.tag == "source":
            yield from _videos(_of_video(node) | attributes, place)
        elif node.tag in ("video", "amp-video"):
            yield from _videos(attributes, place)
            yield from _posters(attributes, place)
        yield from _backgrounds(attributes, place)


def _points_of_place(node: LexborNode) -> float:
    """More within the article, fewer within what stands on each page."""
    above = node.parent
    for _ in range(_HIGHEST):
        if above is None:
            break
        if above.tag in _PLACES:
            return _PLACES[above.tag or ""]
        above = above.parent
    return 0.0


def _image(img: Attributes, sources: list[Attributes], place: float) -> Iterator[Hint]:
    """One picture: the largest of its sizes stands for it, all others come behind."""
    found = list(_sizes(img, "img"))
    for source in sources:
        # What is shown on other screens only may be cut otherwise.
        sides = {} if source.get("media") else {name: img.get(name) for name in ("width", "height")}
        found += _sizes(sides | source, "picture")
    largest = max(found, key=lambda hint: hint.width or 0, default=None)
    for hint in found:
        points = _IMAGE + place + (0 if hint is largest else _VARIANT)
        yield msgspec.structs.replace(hint, points=points, title=_title(img))


def _sizes(attributes: Attributes, place: Place) -> Iterator[Hint]:
    width, height = pixels(attributes.get("width")), pixels(attributes.get("height"))
    type_ = content_type(attributes.get("type"))
    image = Hint(type="image", address="", place=place, points=0, content_type=type_)
    for name in _SOURCES:
        if address := attributes.get(name):
            yield msgspec.structs.replace(image, address=address, width=width, height=height)
    for name in _SOURCE_SETS:
        for size in islice(candidates(attributes.get(name) or ""), MAX_CANDIDATES):
            is_by_width = size.width is not None
            factor = (size.width or 0) / (width or 1) if is_by_width else size.density
            yield msgspec.structs.replace(
                image,
                address=size.address,
                width=size.width if is_by_width else _scaled(width, factor),
                height=_scaled(height, factor) if width or not is_by_width else None,
            )


def _scaled(side: int | None, factor: float) -> int | None:
    return round(side * factor) or None if side else None


def _of_video(source: LexborNode) -> Attributes:
    """What a video tells that all its sources have in common."""
    attributes = source.parent.attributes if source.parent else {}
    return {name: attributes.get(name) for name in ("width", "height", *_TITLES)}


def _videos(attributes: Attributes, place: float) -> Iterator[Hint]:
    type_ = content_type(attributes.get("type"))
    for name in ("data-src", "src"):
        if address := attributes.get(name):
            hint = _beside_video("video", address, "video", _VIDEO + place, attributes)
            yield msgspec.structs.replace(hint, content_type=type_)


def _posters(attributes: Attributes, place: float) -> Iterator[Hint]:
    for name in ("data-poster", "poster"):
        if address := attributes.get(name):
            yield _beside_video("image", address, "poster", _POSTER + place, attributes)


def _beside_video(
    type_: MediaType, address: str, place: Place, points: float, video: Attributes
) -> Hint:
    return Hint(
        type=type_,
        address=address,
        place=place,
        points=points,
        width=pixels(video.get("width")),
        height=pixels(video.get("height")),
        title=_title(video),
    )


def _backgrounds(attributes: Attributes, place: float) -> Iterator[Hint]:
    for found in _BACKGROUND_URL.finditer(attributes.get("style") or ""):
        address = found[1] or found[2] or found[3]
        yield Hint(type="image", address=address, place="style", points=_BACKGROUND + place)


def _title(attributes: Attributes) -> str | None:
    return words(*(attributes.get(name) for name in _TITLES))
