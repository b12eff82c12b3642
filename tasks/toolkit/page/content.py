"""A parsed page: its title, and the pictures and videos that it shows or tells of."""

from collections.abc import Iterator

import msgspec
from selectolax.lexbor import LexborHTMLParser
from yarl import URL

from tasks.toolkit.page.addresses import absolute
from tasks.toolkit.page.body import shown_in_body
from tasks.toolkit.page.head import told_in_head
from tasks.toolkit.page.hints import Hint, Hit, words
from tasks.toolkit.page.linked_data import linked_media
from tasks.toolkit.page.ranking import ranked_hits

MAX_HITS = 250
MAX_BYTES = 80_000
"""Of all hits together: they have to fit into one message of a decoder child."""

_TITLES = ("title:not(svg title)", 'meta[property="og:title"]', 'meta[name="twitter:title"]')


class Page:
    """A page that was found at `location`."""

    def __init__(self, text: str, location: str) -> None:
        self._tree = LexborHTMLParser(text)
        self._base = self._find_base(URL(location))

    def title(self) -> str | None:
        """What the page calls itself."""
        for selector in _TITLES:
            if (node := self._tree.css_first(selector)) is not None and (
                title := words(node.attributes.get("content"), node.text())
            ):
                return title
        return None

    def hits(self) -> tuple[list[Hit], int]:
        """The best, best first, and how many more there are."""
        found = ranked_hits(self._hints(), self._base)
        left_bytes = MAX_BYTES
        listed: list[Hit] = []
        for hit in found[:MAX_HITS]:
            left_bytes -= len(msgspec.msgpack.encode(hit))
            if left_bytes < 0:
                break
            listed.append(hit)
        return listed, len(found) - len(listed)

    def _hints(self) -> Iterator[Hint]:
        yield from told_in_head(self._tree)
        blocks = self._tree.css('script[type="application/ld+json" i]')
        yield from linked_media(block.text() for block in blocks)
        yield from shown_in_body(self._tree)

    def _find_base(self, location: URL) -> URL:
        node = self._tree.css_first("base[href]")
        told = absolute(node.attributes.get("href") or "", location) if node else None
        return told or location
