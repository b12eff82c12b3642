"""The page of docs/examples/page, as it is once a server and an api key are put in."""

from tests.support.accounts import API_KEY
from tests.support.paths import ROOT

INDEX = ROOT / "docs" / "examples" / "page" / "index.html"
SHOWN_SERVER = "http://127.0.0.1:8080"
SHOWN_API_KEY = "654321"

HAS_ENDED = "document.querySelector('output').value && !document.querySelector('button').disabled"
"""True in the page when all its tasks have ended."""


def example_page(server: str, api_key: str = API_KEY) -> str:
    text = INDEX.read_text("utf-8")
    for shown, real in ((SHOWN_SERVER, server), (SHOWN_API_KEY, api_key)):
        text = replaced(text, shown, real)
    return text


def replaced(text: str, old: str, new: str) -> str:
    """With another word where that one stands, which must be at one place."""
    assert text.count(old) == 1, old
    return text.replace(old, new)
