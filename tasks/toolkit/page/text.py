"""Turns the bytes of a page into text: which charset they are in, and whether it is HTML at all."""

import codecs
import re

from dragon.task import TaskFailed

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_LABEL = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
_IN_HEADER = re.compile(r"""charset\s*=\s*["']?([^\s"';]{1,40})""", re.IGNORECASE)
_IN_PAGE = re.compile(
    r"""<meta[^>]{0,500}?charset\s*=\s*["']?\s*([^\s"';>]{1,40})|"""
    r"""<\?xml[^>]{0,500}?encoding\s*=\s*["']([^"']{1,40})""",
    re.IGNORECASE,
)
_PRESCANNED_BYTES = 4096

_LARGER = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-16": "utf-16-le",
}
"""What browsers read instead, as pages use more characters than their charset has."""

_ALLOWED = frozenset(
    {"utf-8", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "euc_jp", "iso2022_jp", "gb18030"}
    | {"big5hkscs", "cp932", "cp949", "cp866", "cp874", "mac-roman"}
    | {f"cp{number}" for number in range(1250, 1259)}
    | {f"iso8859-{part}" for part in range(2, 17)}
)
"""Python's own codecs are many more, some of which unpack, and some take quadratic time."""

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SNIFFED_LETTERS = 1024
_TAG = re.compile(r"<(?:!doctype|[a-z])", re.IGNORECASE)
_BEGINNING = re.compile(
    r"(?:\s|<\?.*?\?>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body|title|meta|base|link|script"
    r"|style|noscript|h[1-6]|div|section|article|main|header|nav|table|figure|picture|p|a|img|b|br"
    r"|font|iframe|video|ul|ol|span|form)(?=[\s/>])",
    re.IGNORECASE | re.DOTALL,
)
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,80}/[a-z0-9.+-]{1,80}")
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


def text_of(url: str, data: bytes, content_type: str) -> str:
    """The page as text; `content_type` is the header that it came with, or empty.

    Raises TaskFailed for what is no HTML: what it is called counts for less than what it is.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    text = _decode(data, content_type)
    expected = _TAG.search(text) if media_type in _HTML_TYPES else _BEGINNING.match(text)
    if not expected or _BINARY.search(text, 0, _SNIFFED_LETTERS):
        is_other = _MEDIA_TYPE.fullmatch(media_type) and media_type not in _HTML_TYPES
        told = f", its server calls it {media_type}" if is_other else ""
        raise TaskFailed(f"File '{url}' is not an HTML page{told}")
    return text


def _decode(data: bytes, content_type: str) -> str:
    """By byte order mark, else header, else what the page says, else UTF-8 if it can be."""
    for bom, codec in _BOMS.items():
        if data.startswith(bom):
            return data[len(bom) :].decode(codec, "replace")
    codec = _told_by_header(content_type) or _told_by_page(data) or _guessed(data)
    return data.decode(codec, "replace")


def _told_by_header(content_type: str) -> str | None:
    found = _IN_HEADER.search(content_type)
    return _codec(found[1]) if found else None


def _told_by_page(data: bytes) -> str | None:
    found = _IN_PAGE.search(data[:_PRESCANNED_BYTES].decode("latin-1"))
    codec = _codec(found[1] or found[2]) if found else None
    # These words could not be read, were they in UTF-16.
    return "utf-8" if codec and codec.startswith("utf-16") else codec


def _codec(label: str) -> str | None:
    if not _LABEL.fullmatch(label):
        return None
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return None
    name = _LARGER.get(name, name)
    return name if name in _ALLOWED else None


def _guessed(data: bytes) -> str:
    try:
        # Not final: a page that was cut in the middle of a letter is UTF-8 nevertheless.
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"
