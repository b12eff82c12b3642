"""Walks the blocks of a GIF file to tell whether its end is missing.

libvips does not: it takes the frames of a file that was cut to be all there are, and leaves the
last of them half grey.
"""

from mmap import mmap

_HEADER_BYTES = 13
_EXTENSION, _IMAGE = 0x21, 0x2C


def is_cut(data: bytes | mmap) -> bool:
    """Whether the file ends inside a block; a mere lack of the trailer does no harm."""
    try:
        position = _HEADER_BYTES + _table_bytes(data[10])
        while position < len(data) and data[position] in (_EXTENSION, _IMAGE):
            position = _after_block(data, position)
    except IndexError:
        return True
    return position > len(data)


def _after_block(data: bytes | mmap, position: int) -> int:
    if data[position] == _EXTENSION:
        return _after_parts(data, position + 2)
    return _after_parts(data, position + 11 + _table_bytes(data[position + 9]))


def _after_parts(data: bytes | mmap, position: int) -> int:
    """Parts lead with their length, a length of 0 ends them."""
    while length := data[position]:
        position += 1 + length
    return position + 1


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
