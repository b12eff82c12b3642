"""A task with parameters of every kind, and what is read of its definitions."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from dragon.engine.definitions import Definition, read_definition, read_query_definition
from dragon.registry import Registry
from dragon.task import Context, HttpUrl, Params, Pixels, task

URL = "http://files.com/cat.jpg"


class Box(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    width: Pixels
    height: Pixels | None = None


class Line(Struct, frozen=True, kw_only=True, tag="line", forbid_unknown_fields=True):
    length: Pixels


class Dot(Struct, frozen=True, kw_only=True, tag="dot", forbid_unknown_fields=True):
    color: str = "black"


Marks = Annotated[list[Line | Dot], Meta(max_length=3, description="a list of up to 3 marks")]


class DrawParams(Params, frozen=True, kw_only=True):
    url: HttpUrl
    width: Pixels | None = None
    scale: float = 1.0
    crop: bool = False
    format: Literal["jpeg", "png"] = "jpeg"
    quality: Literal[1, 2] | None = None
    title: str = ""
    sizes: list[int] = []  # noqa: RUF012
    names: tuple[str, ...] = ()
    box: Box | None = None
    boxes: dict[str, Box] = {}  # noqa: RUF012
    marks: Marks = []  # noqa: RUF012


@task("draw")
async def draw(params: DrawParams, ctx: Context) -> str:
    return params.url


REGISTRY = Registry([draw.__dragon_task__])  # type: ignore[attr-defined]


def read(**values: Any) -> Definition:
    return read_definition(REGISTRY, {"task_name": "draw", **values})


def read_query(**values: list[str]) -> Definition:
    return read_query_definition(REGISTRY, {"task_name": ["draw"], "url": [URL], **values})
