"""html.scrape on what is no page, in any charset, or made to harm: clear words, bounded work."""

import random
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from dragon.errors import TaskFailed
from dragon.task import MediaLimits
from tasks.html.scrape import Scraped, read
from tests.support.api import Api
from tests.support.broker import Broker
from tests.support.decoders import Logs, call, children, source
from tests.support.origin import Origin
from tests.tasks.test_scrape import PAGES, URL, scrape, urls

NOT_A_PAGE = f"File '{URL}' is not an HTML page"


@pytest.mark.parametrize(
    ("data", "content_type", "told"),
    [
        (b"", "text/html", ""),
        (b"hello", "text/html", ""),
        (b"hello <b>you</b>", "", ""),
        (b'{"html": "<html>"}', "application/json", ", its server calls it application/json"),
        (b"\x89PNG\r\n\x1a\n<html>" + bytes(99), "image/png", ", its server calls it image/png"),
        (b"\x89PNG\r\n\x1a\n<html>" + bytes(99), "text/html", ""),
        (b"<html>\0\0\0", "text/html", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml; x", ", its server calls it"),
        (b"<?xml version='1.0'?><rss></rss>", "text/xml", ", its server calls it text/xml"),
        (b"<!DOCTYPE svg><svg/>", "", ""),
        (b"%PDF-1.4 <html>", "<i>/evil", ""),
    ],
)
def test_what_is_no_page_is_refused_in_plain_words(
    data: bytes, content_type: str, told: str
) -> None:
    with pytest.raises(TaskFailed) as refused:
        scrape(data, content_type=content_type)
    assert refused.value.message.startswith(NOT_A_PAGE + told)
    assert told or refused.value.message == NOT_A_PAGE


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "image/jpeg", "x"])
@pytest.mark.parametrize(
    "beginning",
    [
        "<!DOCTYPE html>",
        "<html>",
        "\n <!-- a --> <!-- b --><HEAD>",
        '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html>',
        "<p>",
    ],
)
def test_a_page_is_known_by_its_bytes_whatever_it_is_called(
    beginning: str, content_type: str
) -> None:
    page = scrape(beginning + "<title>é</title>", content_type=content_type)
    assert page.page_title == "é"


WORDS = "<html><title>Größe 10 €</title>"
RUSSIAN = "<html><title>Тест</title>"
JAPANESE = "<html><title>日本語</title>"
META = '<meta http-equiv="Content-Type" content="text/html; charset={}">'


@pytest.mark.parametrize(
    ("data", "charset", "title"),
    [
        (WORDS.encode(), "", "Größe 10 €"),
        (WORDS.encode("cp1252"), "", "Größe 10 €"),
        (WORDS.encode("cp1252"), "iso-8859-1", "Größe 10 €"),
        (WORDS.encode("utf-8-sig"), "windows-1251", "Größe 10 €"),
        (b"\xff\xfe" + WORDS.encode("utf-16-le"), "utf-8", "Größe 10 €"),
        (b"\xfe\xff" + WORDS.encode("utf-16-be"), "", "Größe 10 €"),
        (WORDS.encode("utf-16-le"), '"UTF-16"', "Größe 10 €"),
        (RUSSIAN.encode("cp1251"), "windows-1251", "Тест"),
        (("<meta charset=koi8-r>" + RUSSIAN).encode("koi8-r"), "", "Тест"),
        ((META.format("windows-1251") + RUSSIAN).encode("cp1251"), "", "Тест"),
        ((META.format("koi8-r") + RUSSIAN).encode("cp1251"), "windows-1251", "Тест"),
        ((META.format("utf-16") + RUSSIAN).encode(), "", "Тест"),
        (('<?xml version="1.0" encoding="EUC-JP"?>' + JAPANESE).encode("euc_jp"), "", "日本語"),
        (JAPANESE.encode("shift_jis"), "Shift_JIS", "日本語"),
        ("<html><title>汉字</title>".encode("gb2312"), "gb2312", "汉字"),
        ("<html><title>한국</title>".encode("euc_kr"), "euc-kr", "한국"),
        (RUSSIAN.encode(), "no-such-charset", "Тест"),
        (RUSSIAN.encode(), "../../etc/passwd", "Тест"),
        (RUSSIAN.encode(), "punycode", "Тест"),
        (RUSSIAN.encode(), "zip", "Тест"),
        (RUSSIAN.encode(), "unicode_escape", "Тест"),
        (RUSSIAN.encode()[:20], "", "Тес\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_page_is_read_in_the_charset_that_it_is_in(data: bytes, charset: str, title: str) -> None:
    content_type = f"text/html; charset={charset}" if charset else "text/html"
    assert scrape(data, content_type=content_type).page_title == title


@pytest.mark.parametrize(
    "page",
    [
        "<b>" * 100_000,
        "<b><p>" * 50_000,
        "<div>" * 10_000,
        "<table><tr><td>" * 30_000,
        "<a " + " ".join(f"a{number:x}" for number in range(10_000)) + ">",
        f'<img alt="{"x" * 4_000_000}" width="{"1" * 1_000_000}">',
        f'<img srcset="{"a.jpg 1x, " * 200_000}">',
        f'<img srcset="{"a" * 2_000_000}">',
        f'<p style="{"url(" * 500_000}">',
        "<img src=a>" * 200_000,
        '<meta property="og:image" content=a>' * 50_000,
        '<meta property="og:image:width" content=a>' * 50_000,
        "<!--" * 500_000,
        "<?" * 500_000,
        "&notit;" * 200_000,
        "<svg><title>" * 5_000,
        f'<script type="application/ld+json">{"[" * 2_000_000}</script>',
        f'<script type="application/ld+json">[{"{}," * 500_000}{{}}]</script>',
        f'<script type="application/ld+json">{{"image": [{"1," * 500_000}1]}}</script>',
        f'<script type="application/ld+json">{" " * 500_000}x{"-" * 500_000}</script>',
        '<script type="application/ld+json">{"image": "a"}</script>' * 20_000,
    ],
    ids=lambda page: page[:40],
)
def test_a_page_made_to_harm_is_read_in_seconds(page: str) -> None:
    began = time.process_time()
    scraped = scrape("<html><title>Good</title>" + page)
    # Others take hours.
    assert time.process_time() - began < 60
    assert scraped.page_title == "Good"
    assert len(scraped.hits) <= 250


PIECES = (
    b"<", b">", b'"', b"\0", b"\xff", b"\xed\xa0\x80", b"&#0;", b"<script>", b"<svg>", b"<!--",
    b"<base href=//[>", b"https://[::", b"{", b"]", b"1e999", b"NaN", b"\\ud800", b"%", b"9" * 50,
)  # fmt: skip


@pytest.mark.parametrize("name", ["news", "shop", "video", "old"])
def test_a_page_with_changed_bytes_is_read_or_refused_in_words(name: str) -> None:
    chance = random.Random(name)
    whole = (PAGES / f"{name}.html").read_bytes()
    read_well = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 40)):
            place, size = chance.randrange(len(data)), chance.randint(0, 30)
            data[place : place + size] = chance.choice([*PIECES, b"", data[: size * 9]])
        with suppress(TaskFailed):
            scraped = scrape(bytes(data), content_type=chance.choice(["", "text/html"]))
            assert msgspec.json.decode(msgspec.json.encode(scraped), type=Scraped) == scraped
            assert all(hit.url.startswith(("http://", "https://")) for hit in scraped.hits)
            read_well += 1
    assert read_well > 20


async def test_a_decoder_reads_pages_and_is_ended_by_one_that_takes_too_long(
    logs: Logs, tmp_path: Path
) -> None:
    """Each element is compared with all that are open: hours for a few megabytes of them."""

    async def hits(page: str) -> list[str]:
        content = b"<html>" + page.encode()
        file = source(tmp_path / "page", content)
        location = "https://a.example/"
        scraped = await call(decoders, read, URL, location, "text/html", len(content), file)
        return urls(scraped.hits)

    async with children(cpu_seconds=1, warm=("tasks.hello",)) as decoders:
        assert await hits("<img src=b.jpg>") == ["https://a.example/b.jpg"]
        with pytest.raises(TaskFailed, match="decoder_cpu_seconds"):
            await hits("<div>" * 400_000)
        assert await hits("<img src=b.jpg>") == ["https://a.example/b.jpg"]


async def failure(api: Api, broker: Broker, url: str) -> str:
    """The words with which the task failed, at the first try."""
    final = await api.run(task_name="html.scrape", url=url)
    assert final["status"] == "error"
    assert await broker.attempts(final["key"]) == 1
    return str(final["result"])


async def test_a_picture_is_no_page(api: Api, broker: Broker, origin: Origin) -> None:
    url = origin.url("rocket.jpg")
    words = f"File '{url}' is not an HTML page, its server calls it application/octet-stream"
    assert await failure(api, broker, url) == words


async def test_a_page_over_the_limit_is_told(api: Api, broker: Broker, origin: Origin) -> None:
    limit = MediaLimits(max_pixels=1, max_frames=1).max_page_bytes
    origin.bodies["page"] = b"<html>".ljust(limit + 1)
    url = origin.url("page")
    assert await failure(api, broker, url) == (
        f"File '{url}' has {limit + 1} bytes, "
        f"more than the limit of {limit} for a page (max_page_bytes)"
    )


async def test_a_page_is_read_from_where_its_redirect_led(api: Api, origin: Origin) -> None:
    async def redirect(request: web.Request) -> web.Response:
        raise web.HTTPFound(origin.url("new.html"))

    origin.handlers["old"] = redirect
    origin.bodies["new.html"] = b"""<html><title>Moved</title>
        <img src=a.jpg alt=A width=300><script src=b.js></script>
        <meta http-equiv=refresh content='0; url=c.html'>"""
    status = await api.run(task_name="html.scrape", url=origin.url("old"))
    assert status["result"] == {
        "hits": [
            {
                "type": "image",
                "url": origin.url("a.jpg"),
                "width": 300,
                "height": None,
                "title": "A",
                "content_type": None,
                "source": "img",
            }
        ],
        "more_hits": 0,
        "page_title": "Moved",
        "page_url": origin.url("new.html"),
    }
    assert origin.hits == ["old", "new.html"]
