"""Signs URLs of tasks, so that a page needs no key and nobody can change what they ask for.

It needs nothing but Python's standard library. dragon/web/sign.js does the same in JavaScript.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlencode

ACCOUNT, EXPIRES, SIGNATURE = "account", "expires", "signature"
MOST_SECONDS = 10_000_000_000

_PURPOSE = b"dragon: signed task URLs, 1"
_PATH = re.compile(r"/v[12]/create_file(?:/[^/?#]*)?\Z")
_OURS = (ACCOUNT, EXPIRES, SIGNATURE, "secret", "api_key")


def sign_url(
    url: str,
    *,
    account: str,
    secret: str,
    seconds: float = 3600,
    round_seconds: int = 1,
    now: float | None = None,
) -> str:
    """A URL of GET create_file with the account, an expiry and a signature after its parameters.

    It is good for `seconds`, and up to `round_seconds` longer: all that are made within so many
    seconds expire together, so that they are the same URL and caches keep what it gives. `secret`
    is any of the account's, and cannot be found out from the URL. `now` is unix time.

    Raises ValueError for a URL that cannot be signed.
    """
    head, _, query = url.partition("?")
    path = _PATH.search(head)
    if path is None or "#" in url:
        raise ValueError("the URL must lead to /v2/create_file, and have no fragment")
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name in _OURS:
            raise ValueError(f"the URL has the parameter {name} already")
    if not (seconds > 0 and round_seconds >= 1 and max(seconds, round_seconds) <= MOST_SECONDS):
        words = "seconds must be more than 0, round_seconds 1 at least"
        raise ValueError(f"{words}, and neither more than {MOST_SECONDS}")
    ends = (time.time() if now is None else now) + seconds
    expires = int(-(-ends // round_seconds) * round_seconds)
    added = [(ACCOUNT, account), (EXPIRES, str(expires))]
    signature = make_signature(derive_key(secret), path.group(), pairs + added)
    separator = "&" if query else ""
    return f"{head}?{query}{separator}{urlencode([*added, (SIGNATURE, signature)])}"


def derive_key(secret: str) -> bytes:
    """What signs: no other use of the secret ever gives the same bytes."""
    return hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)


def make_signature(key: bytes, path: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Of an encoded path and decoded parameters: 43 characters.

    What a cache on the way may write another way is the same: the encoding of a character, and
    the order of parameters with different names.
    """
    segments = [_quote(unquote(segment)) for segment in path.split("/")]
    query = sorted(((_quote(name), _quote(value)) for name, value in pairs), key=lambda one: one[0])
    text = "\n".join(["/".join(segments), *(f"{name}={value}" for name, value in query)])
    digest = hmac.digest(key, text.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _quote(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")
