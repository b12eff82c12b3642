"""Signs web hooks as Standard Webhooks 1.0 has it: HMAC-SHA256 with secrets `whsec_…`."""

import base64
import hmac
from collections.abc import Iterable

_PREFIX = "whsec_"


def is_secret(text: str) -> bool:
    """Whether it is `whsec_` and the base64 of 24 to 64 bytes."""
    try:
        return text.startswith(_PREFIX) and 24 <= len(_key(text)) <= 64
    except ValueError:
        return False


def sign(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, apart by spaces."""
    content = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(_key(secret), content, "sha256") for secret in secrets)
    return " ".join("v1," + base64.b64encode(digest).decode() for digest in digests)


def _key(secret: str) -> bytes:
    text = secret.removeprefix(_PREFIX)
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
