"""media.pipeline: several tasks as one, checked before any runs."""

import asyncio
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pyvips

from tests.support.api import Api
from tests.support.faults import create, ends
from tests.support.gate import Gate
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS
from tests.support.wire import read_lines

URL = "http://example.com/cat.jpg"


def pipeline(steps: dict[str, Any], **result: str) -> dict[str, Any]:
    return {"task_name": "media.pipeline", "steps": steps} | ({"result": result} if result else {})


def thumb(url: str, **parameters: Any) -> dict[str, Any]:
    return {"task_name": "image.thumb", "url": url, **parameters}


def hello(name: str) -> dict[str, Any]:
    return {"task_name": "hello", "name": name}


async def test_steps_use_files_and_values_of_earlier_ones(api: Api, origin: Origin) -> None:
    steps = {
        "tiny": thumb("step:small/output", width=20),
        "small": thumb(origin.url("rocket.jpg"), width=60, format="png"),
        "about": {"task_name": "image.info", "url": "step:small/output"},
        "same": thumb(origin.url("rocket.jpg"), width="step:about/width"),
    }
    definition = pipeline(
        steps, cover="step:tiny/output", png="step:small/output", size="step:same/width",
        about="step:about",
    )  # fmt: skip
    final = await api.run(**definition)
    assert final["status"] == "success", final
    result = final["result"]
    assert result.keys() == {"size", "about", "cover", "png"}
    assert result["size"] == 60
    assert (result["about"]["width"], result["about"]["content_type"]) == (60, "image/png")
    assert result["cover"].endswith(f"/files/{final['key']}/cover.jpg")
    async with api.session.get(result["cover"]) as response:
        assert response.status == 200
        picture = pyvips.Image.new_from_buffer(await response.read(), "")
    assert picture.width == 20


async def test_the_documented_example_does_what_the_page_says(api: Api, origin: Origin) -> None:
    page = (ROOT / "docs/pipelines.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    definition = json.loads(example.replace("http://files.com/cat.jpg", origin.url("rocket.jpg")))
    final = await api.run(**definition)
    assert final["status"] == "success", final
    assert final["result"]["width"] == 1600
    for name, filename in (("cover", "cover.jpg"), ("strip", "strip.jpg")):
        assert final["result"][name].endswith(f"/files/{final['key']}/{filename}")


async def test_without_a_wish_all_results_are_given(api: Api) -> None:
    final = await api.run(**pipeline({"a": hello("Ann"), "b": hello("step:a")}))
    assert final["result"] == {"a": "Hello Ann", "b": "Hello Hello Ann"}


async def test_its_files_are_linked_and_not_copied(
    api: Api, dragon: Dragon, origin: Origin
) -> None:
    steps = {"small": thumb(origin.url("rocket.jpg"), width=60)}
    final = await api.run(**pipeline(steps, cover="step:small/output"))
    [kept] = (dragon.data / "files").glob(f"*/*/{final['key']}/*/cover.jpg")
    assert kept.stat().st_nlink == 2
    url = f"{api.url}/v1/file/x?task={final['key']}"
    async with api.session.get(url) as response:
        assert await response.read() == kept.read_bytes()


async def test_steps_that_end_together_all_give_their_files(api: Api) -> None:
    names = [f"step{number}" for number in range(12)]
    steps = {name: {"task_name": "site.text", "text": name} for name in names}
    result = {name: f"step:{name}/output" for name in names}
    final = await api.run(task_name="media.pipeline", steps=steps, result=result)
    assert final["status"] == "success", final
    for name in names:
        async with api.session.get(final["result"][name]) as response:
            assert await response.text() == name


async def test_independent_steps_run_side_by_side(api: Api, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    steps = {name: gate.task() for name in ("a", "b", "c")}
    [key] = await create(api, pipeline(steps))
    await gate.runs(3)
    gate.open()
    [final] = await ends(api, [key])
    assert final["result"] == {"a": "open", "b": "open", "c": "open"}


async def test_progress_and_results_of_steps_come_as_they_end(api: Api, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    steps = {"slow": gate.task(), "quick": hello("Ann"), "after": hello("step:quick")}
    async with api.create_stream(pipeline(steps)) as stream:
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for line in stream.content:
                if b'"after":"Hello Hello Ann"' in line:
                    break
        gate.open()
        lines = await read_lines(stream)
    assert lines[-1]["status"] == "success"
    assert b'"status":"executing"' in line
    assert b'"fraction":0.6667' in line
    assert b'"slow":null' in line


async def test_a_step_that_fails_is_named_and_ends_the_others(api: Api, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    steps = {"slow": gate.task(), "bad": {"task_name": "site.fail"}, "after": hello("step:bad")}
    final = await api.run(**pipeline(steps))
    assert (final["status"], final["result"]) == ("error", "bad: it cannot be done")


async def test_values_that_turn_out_wrong_are_told_by_their_place(api: Api) -> None:
    steps = {"a": hello("Ann"), "b": thumb(URL, width="step:a")}
    final = await api.run(**pipeline(steps))
    assert final["result"] == (
        "b: image.thumb: width: must be a whole number of pixels from 1 to 16383"
    )


@pytest.mark.parametrize(
    ("steps", "result", "words"),
    [
        ({}, {}, "steps: must be an object of 1 to 100 steps, each a definition of a task"),
        ({"a b": hello("x")}, {}, "steps: a b: must be a name of 1 to 64 letters, digits, - and _"),
        ({"a": {"url": URL}}, {}, "steps: a: task_name is missing"),
        ({"a": {"task_name": "nothing"}}, {}, "steps: a: unknown task_name 'nothing', choose"),
        ({"a": {"task_name": 5}}, {}, "steps: a: unknown task_name '5', choose one of: "),
        ({"a": pipeline({"b": hello("x")})}, {}, "steps: a: unknown task_name 'media.pipeline'"),
        ({"a": thumb("nowhere")}, {}, "steps: a: url: must be an http or https URL"),
        ({"a": thumb(URL, width=0)}, {}, "steps: a: width: must be a whole number of pixels"),
        ({"a": thumb(URL, wdith=1)}, {}, "steps: a: wdith: this parameter is unknown, choose"),
        ({"a": thumb(URL), "b": thumb("step:a/output", wdith="step:a/width")}, {},
         "steps: b: wdith: this parameter is unknown"),
        ({"a": thumb(URL), "b": thumb("step:a/output", width="step:a/output")}, {},
         "steps: b: width: must be a whole number of pixels"),
        ({"a": {"task_name": "image.thumb"}}, {}, "steps: a: url: this field is required"),
        ({"a": hello("x"), "b": thumb("step:c/output")}, {},
         "steps: b: url: there is no step 'c', choose one of: 'a', 'b'"),
        ({"a": thumb(URL), "b": thumb("step:a/large")}, {},
         "steps: b: url: the step 'a' has no output 'large', choose one of: 'width', 'height', "),
        ({"a": hello("x"), "b": hello("step:a/x")}, {},
         "steps: b: name: the step 'a' has no output 'x', it has a single value"),
        ({"a": hello("step:"), "b": hello("step:a/b/c")}, {},
         "steps: a: name: must be step:NAME or step:NAME/OUTPUT, got 'step:'; "
         "steps: b: name: must be step:NAME or step:NAME/OUTPUT, got 'step:a/b/c'"),
        ({"a": hello("step:a")}, {}, "steps: they wait for each other: a uses a"),
        ({"a": hello("step:c"), "b": hello("step:a"), "c": hello("step:b")}, {},
         "steps: they wait for each other: "),
        ({"a": hello("x")}, {"y": "step:b"}, "result: y: there is no step 'b', choose one of: 'a'"),
        ({"a": hello("x")}, {"y": "a"}, "result: y: must be step:NAME or step:NAME/OUTPUT, got"),
        ({"a": hello("x")}, {"y/z": "step:a"}, "result: y/z: must be a name of 1 to 64 letters"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_by_its_place_before_anything_runs(
    api: Api, steps: dict[str, Any], result: dict[str, str], words: str
) -> None:
    final = await api.run(**pipeline(steps, **result))
    assert (final["status"], final["result"][: len(words)]) == ("error", words)
    assert "started" not in final["events"]


async def test_a_request_with_many_faults_gets_a_short_answer(api: Api) -> None:
    wrong = {"task_name": "hello", "name": 20_000 * ["step:nothing"]}
    steps = {f"{number}".rjust(60, "s"): wrong for number in range(3)}
    [status] = (await api.post("/v1/create", {"tasks": pipeline(steps)}))[1]
    assert status["status"] == "error"
    assert len(json.dumps(status)) < 200_000


async def test_a_result_too_large_to_be_told_again_and_again_is_an_error(api: Api) -> None:
    steps = {"long": hello(400_000 * "x")}
    final = await api.run(**pipeline(steps, a="step:long", b="step:long", c="step:long"))
    assert final["status"] == "error"
    assert final["result"].endswith("more than the limit of 1048576 (max_result_bytes)")


async def test_a_circle_is_told_in_the_order_of_its_steps(api: Api) -> None:
    steps = {"a": hello("step:c"), "b": hello("step:a"), "c": hello("step:b")}
    words = (await api.run(**pipeline(steps)))["result"].rpartition(": ")[2].split(" uses ")
    assert {*pairwise(words)} == {("a", "c"), ("c", "b"), ("b", "a")}


async def test_files_whose_names_the_parameters_chose_can_be_used(api: Api, origin: Origin) -> None:
    sizes = {"small": {"width": 30}, "large": {"width": 90}}
    steps = {
        "sizes": {"task_name": "image.thumbs", "url": origin.url("rocket.jpg"), "sizes": sizes},
        "info": {"task_name": "image.info", "url": "step:sizes/small"},
        "none": {"task_name": "image.info", "url": "step:sizes/medium"},
    }
    final = await api.run(**pipeline(steps))
    assert final["result"].startswith("none: the step 'sizes' has no output 'medium', choose")
    del steps["none"]
    final = await api.run(**pipeline(steps, width="step:info/width", small="step:sizes/small"))
    assert final["result"]["width"] == 30
    assert final["result"]["small"].endswith("/small.jpg")
