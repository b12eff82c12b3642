"""Finds what a page tells of itself to others: Open Graph, Twitter cards, links, microdata."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from tasks.toolkit.page.hints import Hint, MediaType, Place, content_type, pixels, words
from tasks.toolkit.page.srcset import candidates

Attributes = Mapping[str, str | None]

_ADDRESS_FIELDS = ("secure_url", "url")
_TWITTER_IMAGES = ("image", "image:src", "image0", "image1", "image2", "image3")
_ICONS = {"apple-touch-icon": 8, "apple-touch-icon-precomposed": 8, "icon": 5}
_ITEM_IMAGES = {"image": 85, "contenturl": 85, "thumbnailurl": 70}


def told_in_head(tree: LexborHTMLParser) -> Iterator[Hint]:
    """The hints of all `meta` and `link` elements, wherever they stand."""
    metas = list(_metas(tree))
    yield from _open_graph(metas)
    yield from _twitter(metas)
    for name, value in metas:
        if name.startswith("itemprop:") and name[9:] in _ITEM_IMAGES:
            yield _hint("image", value, "microdata", _ITEM_IMAGES[name[9:]])
    for link in tree.css("link[href], link[imagesrcset]"):
        yield from _linked(link.attributes)


def _metas(tree: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    """Each name and content; a name of microdata is `itemprop:<name>`."""
    for meta in tree.css("meta[content]"):
        attributes = meta.attributes
        content = attributes["content"] or ""
        for name in (attributes.get("property") or attributes.get("name") or "").lower().split():
            yield name, content
        for name in (attributes.get("itemprop") or "").lower().split():
            yield f"itemprop:{name}", content


def _open_graph(metas: Iterable[tuple[str, str]]) -> Iterator[Hint]:
    """The first picture is the page's own; what describes one stands after its address."""
    groups: list[tuple[MediaType, dict[str, str]]] = []
    newest: dict[str, dict[str, str]] = {}
    for name, content in metas:
        prefix, _, rest = name.partition(":")
        kind, _, field = rest.partition(":")
        if prefix != "og" or kind not in ("image", "video"):
            continue
        field = field or "url"
        group = newest.get(kind)
        if group is None or (field in _ADDRESS_FIELDS and group.get(field, content) != content):
            group = newest[kind] = {}
            groups.append(("image" if kind == "image" else "video", group))
        group.setdefault(field, content)
    for index, (type_, group) in enumerate(groups):
        points = max(100 - 2 * index, 80) if type_ == "image" else 60
        for field in _ADDRESS_FIELDS:
            if address := group.get(field):
                yield _hint(
                    type_,
                    address,
                    "og",
                    points,
                    width=pixels(group.get("width")),
                    height=pixels(group.get("height")),
                    title=words(group.get("alt")),
                    content_type=content_type(group.get("type")),
                )


def _twitter(metas: Iterable[tuple[str, str]]) -> Iterator[Hint]:
    told = {name[8:]: value for name, value in reversed(list(metas)) if name[:8] == "twitter:"}
    for name in _TWITTER_IMAGES:
        if address := told.get(name):
            yield _hint("image", address, "twitter", 95, title=words(told.get("image:alt")))
    if stream := told.get("player:stream"):
        type_ = content_type(told.get("player:stream:content_type"))
        yield _hint("video", stream, "twitter", 58, content_type=type_)


def _linked(link: Attributes) -> Iterator[Hint]:
    relations = (link.get("rel") or "").lower().split()
    address = link.get("href") or ""
    if "image_src" in relations:
        yield _hint("image", address, "image_src", 85)
    if "preload" in relations:
        yield from _preloaded(link)
    for relation in relations:
        if relation in _ICONS:
            side = pixels((link.get("sizes") or "").lower().split("x")[0])
            yield _hint("image", address, "icon", _ICONS[relation], width=side, height=side)
    for name in (link.get("itemprop") or "").lower().split():
        if name in _ITEM_IMAGES:
            yield _hint("image", address, "microdata", _ITEM_IMAGES[name])


def _preloaded(link: Attributes) -> Iterator[Hint]:
    type_ = content_type(link.get("type"))
    address = link.get("href") or ""
    if link.get("as") == "video":
        yield _hint("video", address, "preload", 50, content_type=type_)
    if link.get("as") == "image":
        yield _hint("image", address, "preload", 60, content_type=type_)
        for size in candidates(link.get("imagesrcset") or ""):
            yield _hint("image", size.address, "preload", 55, content_type=type_, width=size.width)


def _hint(type_: MediaType, address: str, place: Place, points: float, **told: Any) -> Hint:
    return Hint(type=type_, address=address, place=place, points=points, **told)
