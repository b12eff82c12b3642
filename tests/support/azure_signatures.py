"""What a request to Azure must be signed with: SharedKey, or a URL's own signature for one blob."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from yarl import URL

ACCOUNT = "acmestore"
KEY = base64.b64encode(b"a-secret-key-of-the-account").decode()

_SIGNED_HEADERS = (
    "Content-Encoding", "Content-Language", "Content-Length", "Content-MD5", "Content-Type", "Date",
    "If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range",
)  # fmt: skip


class Refusal(Exception):
    """Status and Azure's code."""


def check_signature(method: str, url: URL, headers: Mapping[str, str]) -> None:
    """Raises Refusal unless the account lets whoever sent this do it."""
    if "sig" in url.query:
        is_right = method in ("GET", "HEAD") and _may_read(url)
    else:
        expected = f"SharedKey {ACCOUNT}:{_sign(_request_text(method, url, headers))}"
        is_right = hmac.compare_digest(expected, headers.get("Authorization", ""))
    if not is_right:
        raise Refusal(403, "AuthenticationFailed")


def _request_text(method: str, url: URL, headers: Mapping[str, str]) -> str:
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("content-length") == "0":
        del lowered["content-length"]
    values = [lowered.get(name.lower(), "") for name in _SIGNED_HEADERS]
    own = [f"{name}:{lowered[name]}" for name in sorted(lowered) if name.startswith("x-ms-")]
    asked = [f"{name}:{','.join(sorted(url.query.getall(name)))}" for name in sorted(url.query)]
    return "\n".join([method, *values, *own, f"/{ACCOUNT}{url.raw_path}", *asked])


def _may_read(url: URL) -> bool:
    """Whether the URL was signed for just this blob, to be read now."""
    asked = url.query
    fields = [asked.get(name, "") for name in ("sp", "st", "se")]
    more = [asked.get("sv", ""), asked.get("sr", ""), *[""] * 7]
    text = "\n".join([*fields, f"/blob{url.path}", "", "", "", *more])
    now = datetime.now(UTC)
    return (
        hmac.compare_digest(_sign(text), asked["sig"])
        and asked.get("sr") == "b"
        and "r" in fields[0]
        and datetime.fromisoformat(fields[1]) <= now < datetime.fromisoformat(fields[2])
    )


def _sign(text: str) -> str:
    digest = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()
