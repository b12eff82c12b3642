"""Which pages an API key may be used on."""

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from dragon.errors import InvalidSettings
from dragon.http.requests.referrers import ReferrerRules


@pytest.mark.parametrize(
    ("entry", "referer"),
    [
        ("example.com", "https://example.com/"),
        ("example.com", "http://example.com"),
        ("example.com", "https://example.com:8443/a/b?c=d#e"),
        ("example.com", "https://example.com?a=b\\c"),
        ("example.com", "HTTPS://EXAMPLE.com/"),
        ("example.com", "https://example.com./"),
        ("Example.COM.", "https://example.com/"),
        ("example.com", "https://example.com/?next=https://evil.net/"),
        ("example.com", "https://example.com/@evil.net"),
        ("localhost", "http://localhost:3000/"),
        ("my_host", "http://my_host/"),
        ("*.example.com", "https://www.example.com/"),
        ("*.example.com", "https://a.b.example.com/"),
        ("*.Example.com", "https://WWW.example.com./"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com", "https://example.com:8443/"),
        ("HTTPS://*.example.com:8443/blog", "https://www.example.com:8443/blog/1"),
        ("example.com:8443", "https://example.com:8443/"),
        ("example.com:443", "https://example.com/"),
        ("example.com:443", "http://example.com:443/"),
        ("example.com:80", "http://example.com:/"),
        ("https://example.com:443", "https://example.com/"),
        ("http://example.com:80", "http://example.com:080/"),
        ("example.com/", "https://example.com"),
        ("example.com/blog", "https://example.com/blog"),
        ("example.com/blog", "https://example.com/blog/"),
        ("example.com/blog/", "https://example.com/blog"),
        ("example.com/blog", "https://example.com/blog/x?y"),
        ("example.com/blog", "https://example.com/blog?y"),
        ("example.com/blog", "https://example.com/%62log"),
        ("example.com/%62log", "https://example.com/blog"),
        ("example.com/blog", "https://example.com/./shop/../blog/x"),
        ("example.com/blog", "https://example.com/shop/%2e%2E/blog/"),
        ("example.com/bücher", "https://example.com/b%C3%BCcher/1"),
        ("example.com/b%fccher", "https://example.com/b%FCcher"),
        ("bücher.de", "https://xn--bcher-kva.de/"),
        ("xn--bcher-kva.de", "https://BÜCHER.de/"),
        ("*.bücher.de", "https://www.xn--bcher-kva.de/"),
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("[::1]", "http://[::1]:8000/"),
        ("[2001:DB8:0::1]:8000", "http://[2001:db8::1]:8000/"),
    ],
)
def test_a_listed_page_is_allowed(entry: str, referer: str) -> None:
    assert ReferrerRules([entry]).allows(referer, None)
    assert ReferrerRules(["other.org", entry]).allows(referer, "null")


@pytest.mark.parametrize(
    ("entry", "referer"),
    [
        ("example.com", "https://evil.net/"),
        ("example.com", "https://example.com.evil.net/"),
        ("example.com", "https://evilexample.com/"),
        ("example.com", "https://www.example.com/"),
        ("example.com", "https://evil.net/?example.com"),
        ("example.com", "https://evil.net?https://example.com/"),
        ("example.com", "https://evil.net#example.com"),
        ("example.com", "https://evil.net/https://example.com/"),
        ("example.com", "https://example.com@evil.net/"),
        ("example.com", "https://example.com:443@evil.net/"),
        ("example.com", "https://evil.net@example.com/"),
        ("example.com", "https://@example.com/"),
        ("example.com", "http://evil.net\\@example.com"),
        ("example.com", "http://example.com\\@evil.net"),
        ("example.com", "http://example.com\\.evil.net"),
        ("example.com", "http://example.com/\\evil"),
        ("example.com", "http://example.com%2eevil.net/"),
        ("example.com", "http://example%2ecom/"),
        ("example.com", "http://example.com%00/"),
        ("example.com", "http://example..com/"),
        ("example.com", "http://.example.com/"),
        ("example.com", "http://example.com../"),
        ("example.com", "http://exam\u200bple.com/"),
        ("example.com", "http://example.com\u3000/"),
        ("example.com", "http://\udcff.example.com/"),
        ("example.com", "https://example.com/\r\nX: y"),
        ("example.com", "https://exam\tple.com/"),
        ("example.com", "https://example.com/\x00"),
        ("example.com", "https://example.com/\x7f"),
        ("example.com", " https://example.com/"),
        ("example.com", "https://example.com/ "),
        ("example.com", "https://example.com\n"),
        ("example.com", "https://evil.net/ https://example.com/"),
        ("example.com", "null"),
        ("example.com", ""),
        ("example.com", "example.com"),
        ("example.com", "//example.com/"),
        ("example.com", "https:example.com"),
        ("example.com", "https:/example.com"),
        ("example.com", "https:///example.com"),
        ("example.com", "https://"),
        ("example.com", "https://:443/"),
        ("example.com", "https://example.com:x/"),
        ("example.com", "https://example.com:٤٤٣/"),
        ("example.com", "https://example.com:443:443/"),
        ("example.com", "https://example.com:65536/"),
        ("example.com", "https://example.com:" + "9" * 5000 + "/"),
        ("example.com", "https://[example.com]/"),
        ("example.com", "ftp://example.com/"),
        ("example.com", "file://example.com/"),
        ("example.com", "javascript://example.com/"),
        ("example.com", "chrome-extension://example.com/"),
        ("example.com", "blob:https://example.com/1"),
        ("example.com", "view-source:https://example.com/"),
        ("example.com", "http\u017f://example.com/"),
        ("*.example.com", "https://example.com/"),
        ("*.example.com", "https://.example.com/"),
        ("*.example.com", "https://*.example.com/"),
        ("*.example.com", "https://evilexample.com/"),
        ("*.example.com", "https://www.example.com.evil.net/"),
        ("*.example.com", "https://evil.net/www.example.com"),
        ("*.example.com", "https://evil.net?.example.com"),
        ("*.example.com", "https://evil.net\\.example.com"),
        ("https://example.com", "http://example.com/"),
        ("http://example.com", "https://example.com/"),
        ("example.com:443", "http://example.com/"),
        ("example.com:443", "https://example.com:8443/"),
        ("https://example.com:443", "https://example.com:80/"),
        ("example.com/blog", "https://example.com/"),
        ("example.com/blog", "https://example.com"),
        ("example.com/blog", "https://example.com/blogger"),
        ("example.com/blog", "https://example.com/Blog"),
        ("example.com/blog", "https://example.com//blog"),
        ("example.com/blog", "https://example.com/blog/../shop"),
        ("example.com/blog", "https://example.com/blog/%2e%2e/shop"),
        ("example.com/blog", "https://example.com/blog/.%2E/shop"),
        ("example.com/blog", "https://example.com/blog%2Fx"),
        ("example.com/blog", "https://example.com/blog\\x"),
        ("example.com/blog", "https://example.com/?/blog"),
        ("example.com/blog", "https://example.com/#/blog"),
        ("example.com/blog/1", "https://example.com/blog"),
        ("example.com/b%fccher", "https://example.com/b%FDcher"),
        ("bücher.de", "https://bucher.de/"),
        ("127.0.0.1", "http://127.0.0.11/"),
        ("127.0.0.1", "http://127.1/"),
        ("127.0.0.1", "http://0x7f.0.0.1/"),
        ("127.0.0.1", "http://127.0.0.1.evil.net/"),
        ("[::1]", "http://[::1%25lo]/"),
        ("[::1]", "http://[::1%lo]/"),
        ("[::1]", "http://[::1].evil.net/"),
        ("[::1]", "http://::1/"),
        ("[::1]", "http://[::2]/"),
        ("[::1]", "http://[]/"),
    ],
)
def test_any_other_page_is_refused(entry: str, referer: str) -> None:
    assert not ReferrerRules([entry]).allows(referer, None)
    assert not ReferrerRules([entry]).allows(None, referer)


def test_the_origin_counts_only_where_there_is_no_referer() -> None:
    rules = ReferrerRules(["https://example.com"])
    assert rules.allows(None, "https://example.com")
    assert rules.allows("https://example.com/", "https://evil.net")
    assert not rules.allows("https://evil.net/", "https://example.com")
    assert not rules.allows("", "https://example.com")
    assert not rules.allows(None, None)


def test_an_origin_has_no_path_to_match() -> None:
    assert not ReferrerRules(["example.com/blog"]).allows(None, "https://example.com")


def test_without_entries_no_page_is_allowed() -> None:
    assert not ReferrerRules([]).allows("https://example.com/", "https://example.com")


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "*example.com",
        "www.*.com",
        "*.*.com",
        "example.com evil.net",
        "example.com\n",
        "example.com/a b",
        "example..com",
        ".example.com",
        "a" * 64 + ".com",
        "ftp://example.com",
        "://example.com",
        "https://",
        "user@example.com",
        "example.com?a",
        "example.com#a",
        "example.com\\blog",
        "example.com/blog\\a",
        "example.com/*",
        "example.com:",
        "example.com:*",
        "example.com:http",
        "example.com:0",
        "example.com:65536",
        "example.com:" + "9" * 5000,
        "*.127.0.0.1",
        "*.[::1]",
        "::1",
        "[::1",
        "[::1%lo]",
        "[example.com]",
        "127.1",
        "1.2.3.4.5",
        "exam\u200bple.com",
    ],
)
def test_a_bad_entry_is_named(entry: str) -> None:
    with pytest.raises(InvalidSettings) as failure:
        ReferrerRules(["example.com", entry])
    assert failure.value.message.startswith(f"referrers: {entry!r} ")


PIECES = ("http://", "https://", "example.com", "www.", "evil.net", ".", "@", ":", "/", "\\", "?")
MORE_PIECES = ("#", "%2e", "%40", "\t", "\n", " ", "[", "]", "::1", "443", "。", "．", "ｅ", "é")


def pages() -> st.SearchStrategy[str]:
    """Addresses put together of what parsers disagree about, and good ones with a bad part."""
    pieces = st.lists(st.sampled_from(PIECES + MORE_PIECES), max_size=8).map("".join)
    spoilt = st.builds(
        lambda page, place, text: page[:place] + text + page[place:],
        st.sampled_from(["https://example.com/blog", "http://www.example.com:80?a@b"]),
        st.integers(0, 30),
        st.text(max_size=3) | pieces,
    )
    return spoilt | st.builds(lambda text: "https://" + text, pieces)


@settings(deadline=None)
@given(pages())
@example("https://example.com/blog")
def test_a_page_on_another_host_is_never_allowed(page: str) -> None:
    if ReferrerRules(["example.com"]).allows(page, None):
        assert host_of(page) == "example.com"
        assert URL(page).scheme in ("http", "https")
    if ReferrerRules(["*.example.com"]).allows(page, None):
        assert host_of(page).endswith(".example.com")


def host_of(page: str) -> str:
    """The host as other parsers see it, which have to agree where it is written in ASCII."""
    host = (URL(page).raw_host or "").removesuffix(".")
    if page.isascii():
        assert host == (urlsplit(page).hostname or "").removesuffix(".")
    return host
