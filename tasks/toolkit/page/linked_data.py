"""Finds the pictures and videos that JSON-LD tells of, in whatever it is nested."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from msgspec import Struct

from tasks.toolkit.page.hints import Hint, MediaType, content_type, pixels, words

MAX_BLOCKS = 50
MAX_NODES = 20_000
"""Objects and lists that are looked at in one block; those near its root come first."""

_OPENING = ("//", "<!--", "<![CDATA[")
_CLOSING = (";", "]]>", "-->", "//")
"""Pages wrap scripts in comments, from older days."""

_IMAGES = {
    "primaryImageOfPage": 92,
    "image": 90,
    "photo": 80,
    "thumbnailUrl": 70,
    "thumbnail": 70,
    "logo": 10,
}
_VIDEOS = {"video": 55, "trailer": 50}
_NESTED_POINTS = 65
_BESIDE_POINTS = 10

_BESIDE = frozenset({
    "logo", "author", "publisher", "creator", "contributor", "editor", "provider", "brand",
    "sourceOrganization", "copyrightHolder", "comment", "review", "isPartOf", "breadcrumb",
    "mainEntityOfPage", "itemListElement", "isRelatedTo", "isSimilarTo", "mentions",
})  # fmt: skip
"""What belongs to such a thing is hardly the picture of the page."""

_BESIDE_TYPES = frozenset({"Person", "Organization", "NewsMediaOrganization", "WebSite"})


class _Node(Struct, frozen=True):
    """A value on the way through the graph; `type` is what an address at this place leads to."""

    value: Any
    type: MediaType | None = None
    points: float = _NESTED_POINTS
    most: float = 100


def linked_media(blocks: Iterable[str]) -> Iterator[Hint]:
    """What the texts of a page's JSON-LD tell of; what cannot be read is passed over."""
    for block in islice(blocks, MAX_BLOCKS):
        try:
            # Not strict: pages have line breaks within their texts.
            yield from _walk(json.loads(_unwrapped(block), strict=False))
        except (ValueError, RecursionError):
            continue


def _unwrapped(block: str) -> str:
    text = block.strip()
    for mark in _OPENING:
        text = text.removeprefix(mark).lstrip()
    for mark in _CLOSING:
        text = text.removesuffix(mark).rstrip()
    return text


def _walk(root: Any) -> Iterator[Hint]:
    todo = deque([_Node(root)])
    for _ in range(MAX_NODES):
        if not todo:
            return
        node = todo.popleft()
        room = MAX_NODES - len(todo)
        if isinstance(node.value, list):
            todo.extend(_node(item, node) for item in islice(node.value, room))
        elif isinstance(node.value, dict):
            yield from _own_media(node)
            todo.extend(islice(_members(node), room))
        elif isinstance(node.value, str) and node.type == "image":
            yield _hint("image", node.value, node.points)


def _node(item: Any, parent: _Node) -> _Node:
    return _Node(item, parent.type, parent.points, parent.most)


def _own_media(node: _Node) -> Iterator[Hint]:
    """The object itself, if it is a picture or a video."""
    type_ = _media_type(node)
    if type_ is None:
        return
    members = node.value
    addresses = _addresses(members.get("contentUrl"))
    if type_ == "image":
        addresses = addresses or _addresses(members.get("url"))
    for address in addresses:
        yield _hint(type_, address, node.points, members)


def _media_type(node: _Node) -> MediaType | None:
    types = _types(node.value)
    if "VideoObject" in types:
        return "video"
    return "image" if "ImageObject" in types else node.type


def _members(node: _Node) -> Iterator[_Node]:
    """The values within an object, each with what it is there for."""
    most = min(node.most, _BESIDE_POINTS) if _types(node.value) & _BESIDE_TYPES else node.most
    for name, value in node.value.items():
        limit = min(most, _BESIDE_POINTS) if name in _BESIDE else most
        if name in _IMAGES:
            yield _Node(value, "image", min(limit, _IMAGES[name]), limit)
        elif name in _VIDEOS:
            yield _Node(value, "video", min(limit, _VIDEOS[name]), limit)
        elif isinstance(value, dict | list):
            yield _Node(value, None, min(limit, _NESTED_POINTS), limit)


def _hint(type_: MediaType, address: str, points: float, members: Any = None) -> Hint:
    told = members or {}
    return Hint(
        type=type_,
        address=address,
        place="json-ld",
        points=min(points, _VIDEOS["video"]) if type_ == "video" else points,
        width=pixels(_value(told.get("width"))),
        height=pixels(_value(told.get("height"))),
        title=words(told.get("caption"), told.get("name"), told.get("headline")),
        content_type=content_type(told.get("encodingFormat")),
    )


def _types(members: dict[str, Any]) -> set[str]:
    types = members.get("@type")
    return {type_.rpartition("/")[2] for type_ in _addresses(types)}


def _addresses(value: Any) -> list[str]:
    """A text, or those of a list."""
    values = value if isinstance(value, list) else [value]
    return [item for item in values[:100] if isinstance(item, str)]


def _value(quantity: Any) -> Any:
    """Of a number, or of a QuantitativeValue."""
    return quantity.get("value") if isinstance(quantity, dict) else quantity
