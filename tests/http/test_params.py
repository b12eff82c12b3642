"""Parameters: read from JSON, with all problems found, in words."""

import asyncio
from typing import Any

import pytest

from dragon.engine.definitions import NotADefinition, read_definition
from dragon.errors import BadRequest
from dragon.http.requests.parameters import MAX_TOLD, READ_AT_ONCE, Parameters
from dragon.params import MAX_ITEMS
from dragon.settings import Settings
from tests.http.drawing import REGISTRY, URL, Box, Dot, DrawParams, Line, read, read_query


def test_parameters_are_read_with_their_defaults() -> None:
    definition = read(url=URL, width=120, boxes={"small": {"width": 2}})
    assert definition.params == DrawParams(url=URL, width=120, boxes={"small": Box(width=2)})
    assert definition.problems == {}


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    definition = read(url=URL, width=120.0, scale=2.0, sizes=[1.0, 2], box={"width": 3.0})
    assert definition.problems == {}
    assert definition.params == DrawParams(
        url=URL, width=120, scale=2.0, sizes=[1, 2], box=Box(width=3)
    )
    assert isinstance(definition.params.scale, float)
    assert read(url=URL, width=120.5, sizes=[1e300]).problems.keys() == {"width", "sizes"}


def test_all_problems_are_told_at_once_and_in_words() -> None:
    definition = read(
        width=0, scale="big", crop="yes", format="tiff", quality=3, size=4, url_callback="ftp://x"
    )
    assert definition.params is None
    assert definition.problems == {
        "url": ["this field is required"],
        "width": ["must be a whole number of pixels from 1 to 16383"],
        "scale": ["expected a number, got a string"],
        "crop": ["expected a boolean, got a string"],
        "format": ['must be one of: "jpeg", "png"'],
        "quality": ["must be one of: 1, 2"],
        "url_callback": ["must be an http or https URL of at most 8192 characters"],
        "size": [
            "this parameter is unknown, choose among: url, width, scale, crop, format, quality, "
            "title, sizes, names, box, boxes, marks, url_callback, url_errback"
        ],
    }


def test_of_many_unknown_parameters_the_first_is_told_what_to_choose_among() -> None:
    unknown = {f"n{number}": number for number in range(200)}
    problems = read(url=URL, **unknown).problems
    assert list(problems) == list(unknown)[:100]
    [[first], *others] = problems.values()
    assert first.startswith("this parameter is unknown, choose among: url, width, ")
    assert others == [["this parameter is unknown"]] * 99


def test_problems_inside_lists_and_objects_say_where() -> None:
    problems = read(
        url=URL,
        sizes=[1, "2"],
        box={"height": 0, "depth": 1},
        boxes={"small": {}, "large": {"width": 1}},
    ).problems
    assert problems == {
        "sizes": ["[1]: expected an integer, got a string"],
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
            "[2]: expected an object, got an integer",
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
        "task_store": [
            'must be {"type": "persistent"}, {"type": "volatile"} '
            'or {"type": "s3_signed", "url": URL}'
        ],
    }


async def test_while_many_definitions_are_read_others_have_their_turns() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    body = {"tasks": [{"task_name": "draw"}] * (4 * READ_AT_ONCE)}
    definitions = await Parameters(body, "body").take_definitions(REGISTRY, Settings())
    other.cancel()
    assert (len(definitions), turns) == (4 * READ_AT_ONCE, 4)


@pytest.mark.parametrize("prefix", ["task_", "other_"])
def test_of_very_many_unknown_names_some_are_told(prefix: str) -> None:
    names = {f"{prefix}{number}": 0 for number in range(1000)}
    assert len(read(url=URL, **names).problems) == MAX_ITEMS


async def test_of_very_many_tasks_that_are_none_a_hundred_are_told() -> None:
    parameters = Parameters({"tasks": [{"task_name": "drow"}] * 10_000}, "body")
    assert await parameters.take_definitions(REGISTRY, Settings()) == []
    with pytest.raises(BadRequest) as refused:
        parameters.check()
    assert len(refused.value.problems) == MAX_TOLD
