"""Parameters: read from JSON and query strings, with all problems found, in words."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from dragon.engine.definitions import (
    Definition,
    NotADefinition,
    read_definition,
    read_query_definition,
)
from dragon.registry import Registry
from dragon.schemas import encode
from dragon.task import Context, HttpUrl, Params, Pixels, task

URL = "http://files.com/cat.jpg"


class Box(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    width: Pixels
    height: Pixels | None = None


class Line(Struct, frozen=True, kw_only=True, tag="line", forbid_unknown_fields=True):
    length: Pixels


class Dot(Struct, frozen=True, kw_only=True, tag="dot", forbid_unknown_fields=True):
    color: str = "black"


Marks = Annotated[
    list[Line | Dot], Meta(max_length=3, extra={"expected": "a list of up to 3 marks"})
]


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


def test_parameters_are_read_with_their_defaults() -> None:
    definition = read(url=URL, width=120, boxes={"small": {"width": 2}})
    assert definition.params == DrawParams(url=URL, width=120, boxes={"small": Box(width=2)})
    assert definition.problems == {}


def test_all_problems_are_told_at_once_and_in_words() -> None:
    definition = read(
        width=0, scale="big", crop="yes", format="tiff", quality=3, size=4, url_callback="ftp://x"
    )
    assert definition.params is None
    assert definition.problems == {
        "url": ["this field is required"],
        "width": ["must be a whole number of pixels from 1 to 16383"],
        "scale": ["expected float, got str"],
        "crop": ["expected bool, got str"],
        "format": ['must be one of: "jpeg", "png"'],
        "quality": ["must be one of: 1, 2"],
        "url_callback": ["must be an http or https URL of at most 8192 characters"],
        "size": [
            "this parameter is unknown, choose among: url, width, scale, crop, format, quality, "
            "title, sizes, names, box, boxes, marks, url_callback, url_errback"
        ],
    }


def test_problems_inside_lists_and_objects_say_where() -> None:
    problems = read(
        url=URL,
        sizes=[1, "2"],
        box={"height": 0, "depth": 1},
        boxes={"small": {}, "large": {"width": 1}},
    ).problems
    assert problems == {
        "sizes": ["[1]: expected int, got str"],
        "box": [
            "width: this field is required",
            "height: must be a whole number of pixels from 1 to 16383",
            "depth: this parameter is unknown, choose among: width, height",
        ],
        "boxes": ["small: width: this field is required"],
    }


def test_an_object_that_may_be_one_of_several_is_told_by_its_type() -> None:
    marks = [{"type": "line", "length": 5}, {"type": "dot"}]
    assert read(url=URL, marks=marks).params == DrawParams(url=URL, marks=[Line(length=5), Dot()])
    assert read(url=URL, marks=[{"type": "dot", "length": 5}, {"type": "line"}]).problems == {
        "marks": [
            "[0]: length: this parameter is unknown, choose among: color",
            "[1]: length: this field is required",
        ]
    }
    assert read(url=URL, marks=[{"length": 5}, {"type": "circle"}, 7]).problems == {
        "marks": [
            "[0]: type: this field is required",
            '[1]: type: must be one of: "line", "dot"',
            "[2]: expected object, got int",
        ]
    }
    tags: tuple[Any, ...] = ([], None, 5)
    for tag in tags:
        assert read(url=URL, marks=[{"type": tag}]).problems == {
            "marks": ['[0]: type: must be one of: "line", "dot"']
        }
    wrong: Any
    for wrong in (4 * marks, "dot", {"type": "dot"}):
        assert read(url=URL, marks=wrong).problems == {"marks": ["must be a list of up to 3 marks"]}
    assert read_query(marks=['[{"type": "line", "length": 0}]']).problems == {
        "marks": ["[0]: length: must be a whole number of pixels from 1 to 16383"]
    }


def test_a_list_of_a_million_wrong_items_gives_no_message_of_a_million_lines() -> None:
    assert len(read(url=URL, sizes=1_000_000 * ["x"]).problems["sizes"]) == 100


@pytest.mark.parametrize("value", ["120", 120.5, True, -1, 16_384, 2**70, [120], {}])
def test_json_values_are_not_turned_into_other_types(value: Any) -> None:
    problems = read(url=URL, width=value).problems
    assert problems == {"width": ["must be a whole number of pixels from 1 to 16383"]}


def test_null_is_the_same_as_leaving_out_where_nothing_is_the_default() -> None:
    assert read(url=URL, width=None).params == DrawParams(url=URL)
    assert list(read(url=None).problems) == ["url"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "a task definition must be an object"),
        ("draw", "a task definition must be an object"),
        (None, "a task definition must be an object"),
        ({}, "task_name is missing"),
        ({"task_name": None}, "task_name is missing"),
        ({"task_name": 5}, "task_name must be a string"),
        ({"task_name": ["draw"]}, "task_name must be a string"),
        ({"task_name": "drow"}, "unknown task_name 'drow', choose one of: draw"),
    ],
)
def test_what_names_no_task_is_no_definition(value: Any, words: str) -> None:
    with pytest.raises(NotADefinition) as caught:
        read_definition(REGISTRY, value)
    assert str(caught.value) == words


def test_names_that_start_with_task_are_the_systems() -> None:
    metas = {"order": [1, None]}
    definition = read(url=URL, task_metas=metas, task_store={"type": "volatile"})
    assert (definition.metas, definition.store.type) == (metas, "volatile")
    problems = read(url=URL, task_priority=1, task_store={"type": "tape"}).problems
    assert problems == {
        "task_priority": ["names that start with task_ are the system's, and this is none"],
        "task_store": ['must be {"type": "persistent"} or {"type": "volatile"}'],
    }


@pytest.mark.parametrize(
    ("name", "texts", "value"),
    [
        ("width", ["120"], 120),
        ("scale", ["0.5"], 0.5),
        ("scale", ["2"], 2.0),
        ("title", ["5"], "5"),
        ("title", ["true"], "true"),
        ("title", ["{}"], "{}"),
        ("title", [""], ""),
        ("format", ["png"], "png"),
        ("quality", ["2"], 2),
        *[("crop", [text], True) for text in ("true", "True", "1", "yes")],
        *[("crop", [text], False) for text in ("false", "FALSE", "0", "no")],
        ("sizes", ["1", "2"], [1, 2]),
        ("sizes", ["1"], [1]),
        ("sizes", ["[1, 2]"], [1, 2]),
        ("sizes", ["[]"], []),
        ("names", ["a", "b"], ("a", "b")),
        ("names", ["a,b"], ("a,b",)),
        ("names", ['["a"]'], ("a",)),
        ("box", ['{"width": 2}'], Box(width=2)),
        ("boxes", ['{"small": {"width": 2}}'], {"small": Box(width=2)}),
    ],
)
def test_the_texts_of_a_query_become_what_the_parameter_is(
    name: str, texts: list[str], value: Any
) -> None:
    definition = read_query(**{name: texts})
    assert definition.problems == {}
    assert getattr(definition.params, name) == value


@pytest.mark.parametrize(
    ("name", "texts", "problem"),
    [
        ("width", ["wide"], "must be a whole number of pixels from 1 to 16383"),
        ("width", ["1.5"], "must be a whole number of pixels from 1 to 16383"),
        ("width", ["1", "2"], "must be a whole number of pixels from 1 to 16383"),
        ("crop", ["maybe"], "expected bool, got str"),
        ("crop", ["2"], "expected bool, got str"),
        ("crop", [""], "expected bool, got str"),
        ("title", ["a", "b"], "expected str, got array"),
        ("format", ["tiff"], 'must be one of: "jpeg", "png"'),
        ("sizes", ["1", "two"], "[1]: expected int, got str"),
        ("sizes", ["[1"], "expected array, got str"),
        ("box", ["2"], "expected object | null, got str"),
        ("box", ['{"width": 0}'], "width: must be a whole number of pixels from 1 to 16383"),
    ],
)
def test_texts_that_cannot_become_it_are_problems(
    name: str, texts: list[str], problem: str
) -> None:
    assert read_query(**{name: texts}).problems == {name: [problem]}


def test_a_query_carries_metas_as_json_or_as_text() -> None:
    assert read_query(task_metas=['{"order": 5}']).metas == {"order": 5}
    assert read_query(task_metas=["cat"]).metas == "cat"


@pytest.mark.parametrize("name", ["box", "sizes", "task_store"])
@pytest.mark.parametrize("depth", [500, 1_000, 15_000])
def test_a_query_nested_too_deeply_is_a_problem(name: str, depth: int) -> None:
    assert list(read_query(**{name: ['{"a":' * depth + "1" + "}" * depth]}).problems) == [name]
    assert list(read_query(**{name: ["[" * depth + "]" * depth]}).problems) == [name]


def test_metas_nested_too_deeply_stay_text() -> None:
    text = "[" * 15_000
    assert read_query(task_metas=[text]).metas == text


NAMES = st.sampled_from(
    [*DrawParams.__struct_fields__, "task_metas", "task_store", "task_other", "other"]
) | st.text(max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([URL, "png", "persistent", "volatile"])
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["width", "height", "type"]), inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXTS = (
    JSON.map(lambda value: encode(value).decode())
    | st.sampled_from(["", "[", "{", "1e999", "NaN", "9" * 40, '"\\ud800"', "yes"])
    | st.text(max_size=10)
)


@given(st.dictionaries(NAMES, JSON, max_size=6))
def test_any_json_gives_params_or_problems(values: dict[str, Any]) -> None:
    values.pop("task_name", None)
    check(read(**values))


@given(st.dictionaries(NAMES, st.lists(TEXTS, min_size=1, max_size=3), max_size=6))
def test_any_query_string_gives_params_or_problems(values: dict[str, list[str]]) -> None:
    values.pop("task_name", None)
    check(read_query(**values))


@given(JSON)
def test_any_json_is_a_definition_or_is_refused_in_words(value: Any) -> None:
    with pytest.raises(NotADefinition, match="task"):
        read_definition(REGISTRY, value)


def check(definition: Definition) -> None:
    assert (definition.params is None) == bool(definition.problems)
    assert all(problems and all(problems) for problems in definition.problems.values())
    encode((definition.params, definition.problems, definition.metas))
