"""The account that is there as long as none is configured, so that one can try."""

import secrets
from pathlib import Path

import msgspec
from msgspec import Struct

from dragon.local.private import write_private
from dragon.settings import Account, ApiKey


class Demo(Struct, frozen=True, kw_only=True):
    """Its credentials; the api key is good for pages on this machine."""

    secret: str
    api_key: str

    def account(self) -> Account:
        api_key = ApiKey(key=self.api_key, referrers=("localhost", "127.0.0.1"))
        return Account(name="demo", secrets=(self.secret,), api_keys=(api_key,))


def keep_demo(data: Path) -> Demo:
    """The credentials in demo.json, which the first start makes: the same at every start."""
    path = data / "demo.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Demo)
    demo = Demo(secret=secrets.token_urlsafe(24), api_key=secrets.token_urlsafe(16))
    write_private(path, demo)
    return demo
