"""Parameters of a query string: its texts become what each parameter is, or problems in words."""

from typing import Any

import pytest

from tests.http.drawing import Box, read_query


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
        ("crop", ["maybe"], "expected a boolean, got a string"),
        ("crop", ["2"], "expected a boolean, got a string"),
        ("crop", [""], "expected a boolean, got a string"),
        ("title", ["a", "b"], "expected a string, got a list"),
        ("format", ["tiff"], 'must be one of: "jpeg", "png"'),
        ("sizes", ["1", "two"], "[1]: expected an integer, got a string"),
        ("sizes", ["[1"], "expected a list, got a string"),
        ("box", ["2"], "expected an object or null, got a string"),
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
