"""The Dragon tasks API, first version: /v1/…"""

from typing import Any

import msgspec

from dragon.faces.version import Version
from dragon.schemas import Update, decode_status, encode


def translate(update: Update) -> bytes:
    """A status as the first version words it: an error's message or details stand in `result`."""
    if update.state != "error":
        return update.line
    status = decode_status(update.line)
    return encode(msgspec.structs.replace(status, result=_words(status.error), error=msgspec.UNSET))


def _words(error: Any) -> Any:
    if not isinstance(error, dict) or "parameters" not in error:
        return error
    return "; ".join(
        f"{name}: {problem}"
        for name, problems in error["parameters"].items()
        for problem in problems
    )


V1 = Version(path="/v1", translate=translate)
