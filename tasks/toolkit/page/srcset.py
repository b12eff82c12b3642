"""Reads the attribute `srcset`: the same picture in several sizes."""

import re
from collections.abc import Iterator

from msgspec import Struct

_ADDRESS = re.compile(r"[\s,]*+(\S++)")
_WIDTH = re.compile(r"(\d{1,6})w", re.ASCII)
_DENSITY = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)x", re.ASCII)


class Candidate(Struct, frozen=True):
    """One size of the picture: told by its width in pixels, or by its density, or not at all."""

    address: str
    width: int | None = None
    density: float = 1.0


def candidates(srcset: str) -> Iterator[Candidate]:
    """Those of one attribute, in order; addresses may hold commas, as `data:` ones do."""
    position = 0
    while found := _ADDRESS.match(srcset, position):
        address, position = found[1], found.end()
        descriptors = ""
        if not address.endswith(","):
            descriptors, comma, _ = srcset[position : position + 1000].partition(",")
            position += len(descriptors) + len(comma)
        yield _candidate(address.rstrip(","), descriptors.split())


def _candidate(address: str, descriptors: list[str]) -> Candidate:
    for descriptor in descriptors:
        if width := _WIDTH.fullmatch(descriptor):
            return Candidate(address, width=int(width[1]) or None)
        if density := _DENSITY.fullmatch(descriptor):
            return Candidate(address, density=float(density[1]) or 1.0)
    return Candidate(address)
