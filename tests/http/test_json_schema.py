"""Each task's input and output are told in JSON Schema, which takes what the server takes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from dragon.json_schema import input_schema, output_schema, whole_schema
from dragon.params import read_params
from dragon.registry import Registry
from dragon.task import Params
from tests.examples import definitions

TASKS = {task.name: task for task in Registry.load(["tasks"])}

WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**9,
    0.5,
    1.0,
    90.0,
    "",
    "no such",
    "http://",
    [],
    [1],
    {},
    {"x": 1},
    [{"type": ""}],
)


def parameters(name: str) -> dict[str, Any]:
    """Those of the documented example."""
    definition = definitions()[name]["definition"]
    return {name: value for name, value in definition.items() if name != "task_name"}


@pytest.mark.parametrize("name", TASKS)
def test_the_schemas_of_a_task_are_schemas(name: str) -> None:
    for schema in (input_schema(TASKS[name]), output_schema(TASKS[name])):
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", TASKS)
def test_the_documented_example_fits_the_schemas(name: str) -> None:
    Draft202012Validator(input_schema(TASKS[name])).validate(parameters(name))
    Draft202012Validator(output_schema(TASKS[name])).validate(definitions()[name]["result"])


@pytest.mark.parametrize("name", TASKS)
def test_the_schema_takes_the_values_that_the_server_takes_and_no_others(name: str) -> None:
    task = TASKS[name]
    validator = Draft202012Validator(input_schema(task))
    right = parameters(name)
    for field in msgspec.structs.fields(task.params):
        for value in WRONG:
            values = {**right, field.name: value}
            params, problems = read_params(task, values)
            assert validator.is_valid(values) == (params is not None), (field.name, value, problems)


@pytest.mark.parametrize("name", TASKS)
def test_what_is_missing_or_unknown_does_not_fit(name: str) -> None:
    task = TASKS[name]
    validator = Draft202012Validator(input_schema(task))
    right = parameters(name)
    assert not validator.is_valid({**right, "no_such_parameter": 1})
    required = [field.name for field in msgspec.structs.fields(task.params) if field.required]
    assert required
    for missing in required:
        assert not validator.is_valid({k: v for k, v in right.items() if k != missing})


def test_defaults_choices_limits_and_words_are_told() -> None:
    properties = input_schema(TASKS["audio.waveform"])["properties"]
    assert properties["format"] == {"enum": ["jpeg", "json", "png"], "default": "jpeg"}
    assert properties["width"] == {
        "description": "a whole number of pixels from 1 to 16383",
        "type": "integer",
        "minimum": 1,
        "maximum": 16383,
        "default": 1024,
    }
    assert properties["url"]["pattern"].startswith("^(?:[Hh]")


def test_a_file_is_its_url_with_the_kind_that_it_has() -> None:
    track = output_schema(TASKS["video.preview"])["properties"]["track"]
    assert track == {
        "description": "the URL of a file",
        "type": "string",
        "format": "uri",
        "x-media-type": "text/vtt",
    }
    thumbs = output_schema(TASKS["image.thumbs"])
    assert thumbs["properties"].keys() == {"original_width", "original_height"}
    assert thumbs["additionalProperties"]["x-media-type"] == "image/*"


def test_objects_of_several_types_are_told_apart_by_their_tag() -> None:
    schema = input_schema(TASKS["image.convert"])
    operation = schema["properties"]["operations"]["items"]
    assert operation["discriminator"]["mapping"]["crop"] == "#/$defs/Crop"
    assert {"$ref": "#/$defs/Crop"} in operation["oneOf"]
    assert schema["$defs"]["Crop"]["required"] == ["type", "width", "height"]


def test_types_that_json_schema_has_no_words_for_are_told_by_their_names() -> None:
    class Odd(Params, frozen=True, kw_only=True):
        path: Path

    assert whole_schema(Odd)["properties"]["path"] == {"title": "Path"}
