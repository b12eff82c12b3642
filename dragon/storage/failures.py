"""Words for what a store of files did not do, without addresses, keys or signatures."""

import re

import structlog

from dragon.errors import StorageRefused, StorageUnavailable

log = structlog.get_logger()

_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_ONE_OF_MANY = re.compile(r"request failed for key .*\(code: (\w{1,64})\)")
"""Of many files that were to be deleted: the status of Azure, or the code of S3."""
_REFUSALS = (
    "PermissionDeniedError",
    "UnauthenticatedError",
    "InvalidPathError",
    "FileNotFoundError",
    "UnknownConfigurationKeyError",
)
_NO_BUCKET = re.compile(
    r"<Code>(NoSuchBucket|ContainerNotFound)</Code>|The specified container does not exist"
)
_PASSING = frozenset({"408", "425", "429"})


def translate(store: str, call: str, error: Exception) -> StorageUnavailable:
    """What to raise instead of an error of the library; its log has what an operator needs.

    Its own words are not told: they hold addresses, and whatever the store answered.
    """
    words = str(error)
    one = _first(_ONE_OF_MANY, words)
    status = _first(_STATUS, words) or (one if one.isdigit() else "")
    code = _first(_CODE, words) or one
    log.warning(
        "store_failed", store=store, call=call, error=type(error).__name__, status=status, code=code
    )
    is_refusal = status.startswith("4") and status not in _PASSING
    if is_refusal or one == "AccessDenied" or type(error).__name__ in _REFUSALS:
        return StorageRefused("the store of files refuses what it is asked for", store)
    return StorageUnavailable("the store of files does not answer", store)


def is_missing(error: Exception) -> bool:
    """Whether there is no such file, or another one than there was, and the store is well."""
    if isinstance(error, FileNotFoundError):
        return not _NO_BUCKET.search(str(error))
    return type(error).__name__ == "PreconditionError"


def has_no_parts(error: Exception) -> bool:
    """Whether the store knows no parts of an upload, or none any more."""
    return isinstance(error, FileNotFoundError) or "<Code>InvalidBlockList<" in str(error)


def is_local(error: Exception) -> bool:
    """Whether the local disk is at fault, where the file lies that is uploaded."""
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | TimeoutError)


def _first(pattern: re.Pattern[str], words: str) -> str:
    found = pattern.search(words)
    return found[1] if found else ""
