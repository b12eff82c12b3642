"""Makes one list of all hints: each address once, what a person would choose first."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec import Struct
from yarl import URL

from tasks.toolkit.page.addresses import absolute, identity
from tasks.toolkit.page.hints import Hint, Hit

MAX_HINTS = 10_000

_NAMED_AS_OWN = 80.0
_FOUND_AGAIN = 3.0
_UNLIKELY_NAME = re.compile(
    r"(?<![a-z])(?:logo|sprite|icon|favicon|avatar|gravatar|badge|banner|button|pixel|spacer|blank"
    r"|placeholder|loading|spinner|transparent|emoji|ads?|default)s?(?![a-z])",
    re.IGNORECASE,
)
_LOGO = re.compile(r"\blogo\b", re.IGNORECASE)
_UNLIKELY = -30.0
_DRAWN = {".svg": -10.0, ".gif": -10.0, ".ico": -30.0}
_LEAST_AREAS = ((640 * 360, 25.0), (300 * 200, 15.0), (100 * 100, 0.0), (10, -30.0), (0, -60.0))
_USUAL_ASPECT = 1.6
_LONGEST_ASPECT, _LONG = 3.0, -20.0

_PLAYERS = ("text/", "application/x-shockwave-flash")


class _Found(Struct, frozen=True):
    hint: Hint
    url: URL


def ranked_hits(hints: Iterable[Hint], base: URL) -> list[Hit]:
    """All that can be fetched; those of equal worth in the order of the page."""
    same: dict[tuple[str, str], list[_Found]] = {}
    for hint in islice(hints, MAX_HINTS):
        url = absolute(hint.address, base)
        if url and not _is_player(hint):
            same.setdefault((hint.type, identity(url)), []).append(_Found(hint, url))
    return [hit for _, hit in sorted(map(_merged, same.values()), key=lambda one: -one[0])]


def _is_player(hint: Hint) -> bool:
    """A page with a video in it is no video."""
    return hint.type == "video" and (hint.content_type or "").startswith(_PLAYERS)


def _merged(found: Sequence[_Found]) -> tuple[float, Hit]:
    """What all hints at one file tell together, with its points."""
    ordered = sorted(found, key=lambda one: -one.hint.points)
    hints = [one.hint for one in ordered]
    best, url = hints[0], ordered[0].url
    sized = max(hints, key=_area_told)
    hit = Hit(
        type=best.type,
        url=str(next((one.url for one in ordered if one.url.scheme == "https"), url)),
        width=sized.width,
        height=sized.height,
        title=next((hint.title for hint in hints if hint.title), None),
        content_type=next((hint.content_type for hint in hints if hint.content_type), None),
        source=best.place,
    )
    points = best.points + _FOUND_AGAIN * min(len({hint.place for hint in hints}) - 1, 3)
    of_size = _points_of_size(hit)
    # What a page names as its own is expected to be large: its size can only speak against it.
    points += min(of_size, 0) if best.points >= _NAMED_AS_OWN else of_size
    return points + _points_of_name(hit, url), hit


def _area_told(hint: Hint) -> tuple[bool, int]:
    """Both sides are better than one, and the larger better than the smaller."""
    width, height = hint.width or 0, hint.height or 0
    return bool(width and height), max(width, 1) * max(height, 1)


def _points_of_size(hit: Hit) -> float:
    if not (hit.width or hit.height):
        return 0.0
    width = hit.width or (hit.height or 0) * _USUAL_ASPECT
    height = hit.height or width / _USUAL_ASPECT
    points = next(points for least, points in _LEAST_AREAS if width * height >= least)
    aspect = max(width / height, height / width)
    return points + (_LONG if aspect > _LONGEST_ASPECT else 0.0)


def _points_of_name(hit: Hit, url: URL) -> float:
    """Names tell of decoration: `/img/spacer.gif`, or a text `Our logo`."""
    is_unlikely = _UNLIKELY_NAME.search(url.name) or _LOGO.search(hit.title or "")
    return (_UNLIKELY if is_unlikely else 0.0) + _DRAWN.get(url.suffix.lower(), 0.0)
