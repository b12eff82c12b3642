"""Takes apart the URLs that clients have of files: of Dragon's own, and of public stores."""

from urllib.parse import unquote, urlsplit

from msgspec import Struct

from dragon.schemas import is_key

_SCHEME = "dragon:"


class FileUrl(Struct, frozen=True, kw_only=True):
    """Which file a URL names; `path` is where it lies, with its account, if the URL tells that."""

    key: str
    filename: str
    path: str = ""


def split_file_url(text: str) -> FileUrl | None:
    """The parts of `…/files/KEY/NAME`, `…/ACCOUNT/DAY/KEY/TOKEN/NAME` or `dragon:KEY/NAME`.

    The host is not looked at: a server may have several names, and what comes before the path in a
    store is up to the store. None for any other text.
    """
    try:
        path = text.removeprefix(_SCHEME) if text.startswith(_SCHEME) else urlsplit(text).path
    except ValueError:
        return None
    parts = [unquote(part) for part in path.split("/")]
    filename = parts[-1]
    if not filename:
        return None
    if len(parts) >= 2 and is_key(parts[-2]):
        is_ours = text.startswith(_SCHEME) if len(parts) == 2 else parts[-3] == "files"
        return FileUrl(key=parts[-2], filename=filename) if is_ours else None
    if len(parts) >= 5 and is_key(parts[-3]):
        return FileUrl(key=parts[-3], filename=filename, path="/".join(parts[-5:]))
    return None
