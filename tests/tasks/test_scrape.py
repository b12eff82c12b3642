"""html.scrape finds the pictures and videos of a page, best first, wherever it names them."""

import tempfile
from typing import Any

import pytest

from tasks.html.scrape import Scraped, read
from tasks.toolkit.page.hints import Hit
from tests.support.paths import ROOT

PAGES = ROOT / "tests" / "scraped"
URL = "https://news.example/2026/otters?from=home"
IMG = "https://img.news.example/"


def scrape(page: bytes | str, location: str = URL, content_type: str = "text/html") -> Scraped:
    """What the task makes of a page that was found at `location`."""
    data = page.encode() if isinstance(page, str) else page
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.flush()
        return read(URL, location, content_type, len(data), source.fileno())


def scrape_file(name: str, location: str = URL) -> Scraped:
    return scrape((PAGES / name).read_bytes(), location)


def body(*elements: str, **options: Any) -> list[Hit]:
    return scrape("<!doctype html><body>" + "\n".join(elements), **options).hits


def urls(hits: list[Hit], type_: str = "image") -> list[str]:
    return [hit.url for hit in hits if hit.type == type_]


def sizes(hits: list[Hit]) -> dict[str, tuple[int | None, int | None]]:
    return {hit.url.rpartition("/")[2]: (hit.width, hit.height) for hit in hits}


def test_the_pictures_of_a_news_page_come_as_a_person_would_choose() -> None:
    scraped = scrape_file("news.html")
    assert scraped.page_title == "Otters return to the river — The Daily Current"
    assert (scraped.page_url, scraped.more_hits) == (URL, 0)
    assert urls(scraped.hits) == [
        IMG + "otters-share.jpg",
        IMG + "otters-card.jpg",
        IMG + "otters-1x1.jpg",
        IMG + "otters-16x9.jpg",
        IMG + "otters-1600.jpg?q=80",
        IMG + "otters-800.jpg?q=80",
        "https://news.example/photos/weir.jpg",
        IMG + "otters-400.jpg?q=80",
        "https://news.example/photos/other-story.jpg",
        IMG + "people/ann.jpg",
        "https://news.example/apple-touch.png",
        "https://news.example/masthead.png",
        "https://news.example/img/menu.png",
        "https://news.example/favicon-32.png",
        "https://count.tracker.example/hit.gif?page=otters",
        "https://news.example/img/logo.svg",
    ]
    assert scraped.hits[0] == Hit(
        type="image",
        url=IMG + "otters-share.jpg",
        width=1200,
        height=630,
        title="Two otters on a stone",
        content_type="image/jpeg",
        source="og",
    )
    assert sizes(scraped.hits)["otters-1600.jpg?q=80"] == (1600, 900)


def test_a_shop_is_read_with_its_base_its_graph_and_its_sizes() -> None:
    scraped = scrape_file("shop.html")
    assert scraped.page_title == "Walnut table | Plank & Co"
    base = "https://cdn.shop.example/assets/"
    assert {hit.url.removeprefix(base): hit.source for hit in scraped.hits} == {
        "share/table.jpg": "og",
        "table-main.jpg": "json-ld",
        "table-side.jpg": "json-ld",
        "chair.jpg": "json-ld",
        "making-1.jpg": "json-ld",
        "making-2.jpg": "json-ld",
        "making.mp4": "json-ld",
        "brand.png": "json-ld",
        "review-photo.jpg": "json-ld",
        "table-600.avif": "picture",
        "table-1200.avif": "picture",
        "table-600.webp": "picture",
        "table-1200.webp": "picture",
        "table-600.jpg": "img",
        "oak.jpg": "img",
        "oak@2x.jpg": "img",
        "oak,wide.jpg": "img",
        "wood%20grain.jpg": "style",
        "no-script.jpg": "img",
    }
    first, second, *_ = scraped.hits
    assert (first.source, second.title) == ("og", "The table, from the front")
    assert urls(scraped.hits, "video") == [base + "making.mp4"]
    found = sizes(scraped.hits)
    assert found["table-main.jpg"] == (2000, 1500)
    assert (found["table-1200.avif"], found["table-1200.webp"]) == ((1200, 800), (1200, 800))
    assert (found["oak@2x.jpg"], found["oak,wide.jpg"]) == ((600, 400), (900, 600))


def test_the_videos_of_a_page_are_files_and_no_players() -> None:
    hits = scrape_file("video.html").hits
    assert [(hit.url, hit.content_type) for hit in hits if hit.type == "video"] == [
        ("https://media.videos.example/launch.mp4", "video/mp4"),
        ("http://videos.example/launch.mp4", "video/mp4"),
        ("https://news.example/launch/launch.webm", "video/webm"),
        ("https://news.example/launch/launch.m3u8", "application/vnd.apple.mpegurl"),
        ("https://videos.example/launch-small.mp4", "video/mp4"),
        ("https://videos.example/replay.mp4", None),
    ]
    assert urls(hits)[:3] == [
        f"https://news.example/launch/{name}.jpg" for name in ("poster", "crew", "still")
    ]
    found = sizes(hits)
    assert (found["poster.jpg"], found["crew.jpg"]) == ((1280, 720), (640, None))
    assert (found["launch.mp4"], found["launch.webm"]) == ((1920, 1080), (960, 540))
    assert [hit.source for hit in hits if hit.url.endswith("thumbnail.jpg")] == ["microdata"]


def test_a_page_of_old_is_read_in_its_charset() -> None:
    scraped = scrape_file("old.html", "http://home.example/~juergen/index.htm")
    assert scraped.page_title == "Home page of Jürgen"
    assert [(hit.url.rpartition("example/")[2], hit.title) for hit in scraped.hits] == [
        ("~juergen/pictures/m%C3%BChle%20im%20schnee.JPG", "Die Mühle"),
        ("~juergen/welcome.gif", None),
        ("images/dot.gif", None),
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/a.jpg", "https://news.example/a.jpg"),
        ("a.jpg?x=1&amp;y=2#top", "https://news.example/2026/a.jpg?x=1&y=2"),
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("  a\n.jpg\t", "https://news.example/2026/a.jpg"),
        ("../../../a.jpg", "https://news.example/a.jpg"),
        ("?size=1", "https://news.example/2026/otters?size=1"),
        ("HTTP://CDN.example:8080/A.jpg", "http://cdn.example:8080/A.jpg"),
        ("https://münchen.example/ä b.jpg", "https://xn--mnchen-3ya.example/%C3%A4%20b.jpg"),
        ("/signed%2fa%7e.jpg?s=%2B+b", "https://news.example/signed%2fa%7e.jpg?s=%2B+b"),
        ("data:image/png;base64,AAAA", None),
        ("javascript:alert(1)", None),
        ("blob:https://news.example/1", None),
        ("ftp://news.example/a.jpg", None),
        ("file:///etc/passwd", None),
        ("http://", None),
        ("http://[]@/", None),
        ("http://[::1/", None),
        ("http://news.example:99999/a.jpg", None),
        ("https://user:secret@news.example/a.jpg", None),
        ("https://news.example/" + "a" * 8192, None),
        (" ", None),
    ],
)
def test_addresses_are_absolute_and_can_be_fetched(address: str, expected: str | None) -> None:
    assert urls(body(f'<img src="{address}">')) == ([expected] if expected else [])


def test_an_address_stands_once_however_it_is_spelt() -> None:
    hits = body(
        '<img src="http://news.example/a%7Eb.jpg" width="10" height="5">',
        '<img src="HTTPS://NEWS.example:443/x/../a~b.jpg#1" alt="A and b" width="100">',
        '<img src="/a~b.jpg?x">',
        '<img src="/a~b.jpg">',
    )
    assert [(hit.url, hit.width, hit.height, hit.title) for hit in hits if "?" not in hit.url] == [
        ("https://news.example/x/../a~b.jpg", 10, 5, "A and b")
    ]
    assert len(hits) == 2


def test_a_picture_and_a_video_at_one_address_are_two() -> None:
    assert len(body('<img src="a.gif">', '<video src="a.gif"></video>')) == 2


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("/other/", "https://news.example/other/a.jpg"),
        ("http://cdn.example/x/y", "http://cdn.example/x/a.jpg"),
        ("javascript:0", "https://news.example/2026/a.jpg"),
    ],
)
def test_addresses_start_at_the_first_base(base: str, expected: str) -> None:
    assert urls(
        body(f'<base target="_top"><base href="{base}"><base href="/no/"><img src=a.jpg>')
    ) == [expected]


def test_a_page_that_was_in_no_page_s_place_has_only_absolute_addresses() -> None:
    hits = body('<img src="a.jpg">', '<img src="https://b.example/c.jpg">', location="dragon:AAA/p")
    assert urls(hits) == ["https://b.example/c.jpg"]


@pytest.mark.parametrize(
    ("told", "width"),
    [
        ("640", 640),
        ("640px", 640),
        (" 640.5 ", 640),
        ("100%", None),
        ("auto", None),
        ("0", None),
        ("-5", None),
        ("9" * 30, None),
    ],
)
def test_a_width_is_told_in_pixels_or_not_at_all(told: str, width: int | None) -> None:
    [hit] = body(f'<img src="a.jpg" width="{told}">')
    assert (hit.width, hit.height) == (width, None)


def test_pictures_that_are_loaded_late_come_before_their_placeholders() -> None:
    hits = body('<img src="grey.png" data-srcset="a.jpg 300w, b.jpg 900w" data-src="a.jpg">')
    assert [url.rpartition("/")[2] for url in urls(hits)] == ["b.jpg", "a.jpg", "grey.png"]


def test_decoration_comes_after_what_is_shown() -> None:
    hits = body(
        '<img src="sprite.png" width="900" height="600">',
        '<img src="strip.jpg" width="1000" height="90">',
        '<img src="b.svg">',
        '<img src="plain.jpg">',
        '<main><img src="inside.jpg"></main>',
        '<img src="large.jpg" width="800" height="500">',
    )
    names = [url.rpartition("/")[2] for url in urls(hits)]
    assert names == ["large.jpg", "inside.jpg", "plain.jpg", "sprite.png", "strip.jpg", "b.svg"]


def test_a_page_without_a_title_has_that_of_its_open_graph_or_none() -> None:
    assert scrape("<html><svg><title>An arrow</title></svg>").page_title is None
    told = '<title> </title><meta property="og:title" content="Told &amp; sold">'
    assert scrape(told).page_title == "Told & sold"


@pytest.mark.parametrize(
    ("json", "expected"),
    [
        ('{"@type": "ImageObject", "url": "a.jpg"}', ["a.jpg"]),
        ('{"@type": "http://schema.org/ImageObject", "contentUrl": ["a.jpg"]}', ["a.jpg"]),
        ('[[{"image": [{"url": "a.jpg"}, "b.jpg"]}]]', ["a.jpg", "b.jpg"]),
        ('{"@graph": [{"x": {"y": {"thumbnailUrl": "a.jpg"}}}]}', ["a.jpg"]),
        ('{"name": "a\nb", "image": "a.jpg"};', ["a.jpg"]),
        ('<!-- {"image": "a.jpg"} -->', ["a.jpg"]),
        ('{"url": "page.html", "image": {"@id": "#1"}, "logo": null}', []),
        ('{"image": 7, "@type": 7, "video": "page.html"}', []),
        ('"a.jpg"', []),
        ("[" * 100_000, []),
        ('{"image":' * 5_000, []),
        ("1" * 5_000, []),
        ("", []),
    ],
)
def test_json_ld_is_read_whatever_its_form(json: str, expected: list[str]) -> None:
    script = f'<script type="application/ld+json">{json}</script>'
    hits = body(script, '<script type="application/json">{"image": "no.jpg"}</script>')
    assert [url.rpartition("/")[2] for url in urls(hits)] == expected


@pytest.mark.parametrize(
    ("srcset", "expected"),
    [
        ("a.jpg, b.jpg 2x", {"a.jpg": (100, 50), "b.jpg": (200, 100)}),
        ("a.jpg 1.5x,b.jpg 50w", {"a.jpg": (150, 75), "b.jpg": (50, 25)}),
        (", a.jpg 0w ,, b.jpg 9z", {"a.jpg": (100, 50), "b.jpg": (100, 50)}),
        ("data:image/png;base64,AA 1x, a.jpg 2x", {"a.jpg": (200, 100)}),
        ("a,1.jpg 40w 30h", {"a,1.jpg": (40, 20)}),
        ("," * 5000, {}),
    ],
)
def test_each_size_of_a_srcset_is_a_hit(srcset: str, expected: dict[str, object]) -> None:
    assert sizes(body(f'<img srcset="{srcset}" width="100" height="50">')) == expected


def test_hits_are_bounded_in_number_and_in_bytes() -> None:
    many = scrape("<html>" + "".join(f'<img src="{number}.jpg">' for number in range(1000)))
    assert (len(many.hits), many.more_hits) == (250, 750)
    long = scrape("<html>" + "".join(f'<img src="{n}{"a" * 8000}.jpg">' for n in range(20)))
    assert 5 < len(long.hits) < 11
    assert len(long.hits) + long.more_hits == 20
