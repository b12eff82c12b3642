"""Pictures that image.convert is given, and what it makes of them."""

from typing import Any

from tasks.image.convert import convert
from tests.support.pictures import CAT, ROCKET, animation, corners, plain
from tests.tasks.workbench import Made, make

NAMES = ("cat", "rocket", "corners", "half", "red", "clear", "moving")
CAT_URL, ROCKET_URL, CORNERS, HALF, RED, CLEAR, MOVING = (f"http://files.com/{n}" for n in NAMES)
FILES = {
    CAT_URL: CAT.read_bytes(),
    ROCKET_URL: ROCKET.read_bytes(),
    CORNERS: corners().pngsave_buffer(),
    HALF: plain([200, 30, 40, 128]).pngsave_buffer(),
    RED: plain([250, 0, 0], 20, 10).pngsave_buffer(),
    CLEAR: plain([0, 0, 0, 0]).pngsave_buffer(),
    MOVING: animation().gifsave_buffer(),
}


def op(type: str, **values: Any) -> dict[str, Any]:
    return {"type": type, **values}


def made(url: str, *operations: dict[str, Any], **params: Any) -> Made:
    one = make(convert, FILES, url=url, operations=list(operations), **params)
    image = one.image
    assert (one.result.width, one.result.height) == (image.width, image.get_page_height())
    assert one.result.bytes == len(one.data)
    return one
