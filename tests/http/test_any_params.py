"""Parameters: any JSON and any query string give parameters or problems, never a bug."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragon.engine.definitions import Definition, NotADefinition, read_definition
from dragon.schemas import encode
from tests.http.drawing import REGISTRY, URL, DrawParams, read, read_query

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
