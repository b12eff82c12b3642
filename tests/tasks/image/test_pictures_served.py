"""Pictures of the longer image tasks, made in decoder children and served."""

from typing import Any

import pytest
from pyvips import Image

from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.pictures import animation, plain
from tests.support.processes import Dragon

pytestmark = pytest.mark.usefixtures("no_bugs")

LONG = "a" * 8000


async def picture(api: Api, url: str) -> Image:
    answer = await api.ask("GET", url.removeprefix(api.url))
    assert answer.status == 200
    return Image.new_from_buffer(answer.body, "")


async def test_many_pictures_become_one_and_what_was_made_stays(
    api: Api, origin: Origin, dragon: Dragon
) -> None:
    for number in range(60):
        origin.bodies[f"{number}.png"] = plain([4 * number, 9, 9], 30, 20).pngsave_buffer()
    first = await api.made(task_name="image.thumb", url=origin.url("0.png"), format="png")
    key = first["output"].split("/")[-2]
    urls = [f"dragon:{key}/output", *(origin.url(f"{number}.png") for number in range(1, 60))]
    moving = await api.made(task_name="image.gif", images=urls)
    assert (moving["width"], moving["height"], moving["count"]) == (30, 20, 60)
    assert (await picture(api, moving["output"])).get("n-pages") == 60
    strip = await api.made(task_name="image.strip", urls=urls, wrap=10, format="png")
    sheet = await picture(api, strip["output"])
    assert (sheet.width, sheet.height) == (300, 120)
    for number in (0, 7, 59):
        place = (number % 10 * 30 + 15, number // 10 * 20 + 10)
        assert sheet(*place) == [4 * number, 9, 9]
    assert (await picture(api, first["output"])).width == 30


async def test_long_addresses_of_many_watermarks_do_not_make_a_call_too_large(
    api: Api, origin: Origin
) -> None:
    urls = [origin.url("rocket.jpg") + f"?{number}{LONG}" for number in range(29)]
    marks = [{"type": "watermark", "url": url, "scale": 0.1} for url in urls]
    operations = [*marks, {"type": "format", "format": "webp"}]
    url = origin.url("chelsea.png") + f"?{LONG}"
    result = await api.made(task_name="image.convert", url=url, operations=operations)
    assert result["content_type"] == "image/webp"
    assert (await picture(api, result["output"])).width == 451


async def test_what_a_picture_is_and_how_it_looks(api: Api, origin: Origin) -> None:
    origin.bodies["a.gif"] = animation().gifsave_buffer()
    info = await api.made(task_name="image.info", url=origin.url("a.gif"))
    assert (info["page_count"], info["dominant_colors"]) == (4, [{"color": "#0a0a0a", "share": 1}])
    assert len(info["blurhash"]) == 28


@pytest.mark.parametrize(
    ("definition", "name"),
    [
        ({"task_name": "image.gif", "images": ["rocket.jpg", "BROKEN"]}, "images"),
        ({"task_name": "image.strip", "urls": ["BROKEN", "rocket.jpg"]}, "urls"),
        ({"task_name": "image.convert", "url": "BROKEN"}, "url"),
    ],
)
async def test_a_broken_source_is_named_and_tried_once(
    api: Api, origin: Origin, definition: dict[str, Any], name: str
) -> None:
    origin.bodies["BROKEN"] = origin.bodies["rocket.jpg"][:5000]
    named = definition[name]
    urls = [origin.url(one) for one in named] if isinstance(named, list) else origin.url(named)
    final = await api.run(**definition | {name: urls})
    words = f"File '{origin.url('BROKEN')}' is not a valid image file"
    assert (final["status"], final["result"]) == ("error", words)
    missing = origin.url("missing")
    urls = [missing] if isinstance(named, list) else missing
    final = await api.run(**definition | {name: urls})
    assert final["status"] == "error"
    assert missing in final["result"]
