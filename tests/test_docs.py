"""What the pages under docs/ say of the code is so."""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import Struct

from docs.generate_tasks import PAGE, tasks_page
from dragon import errors
from dragon.errors import DragonError
from dragon.http.middleware import answer
from dragon.registry import Registry
from dragon.settings import Account, ApiKey, Limits, Settings, Slots, StoreSettings
from dragon.store.connection import SCRIPTS
from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.routes import routes

DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
ERRORS = {
    name: error
    for name, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, DragonError)
}
EXAMPLE_CONFIG = """
task_packages = ["tasks", "my_tasks"]
fetch_allow = ["127.0.0.1"]

[[accounts]]
name = "acme"
secrets = ["acme-secret"]
"""


def read(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """All rows of tables whose first cell is code, by that code: the cells after it."""
    found = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split(" | ")] for name, cells in found}


def section(page: str, heading: str) -> str:
    [text] = [part for part in read(page).split("\n## ") if part.startswith(heading + "\n")]
    return text


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--fresh-env"]
    built = subprocess.run(
        [*command, "--doctree-dir", str(tmp_path / "doctrees"), "docs", str(tmp_path / "pages")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.stderr == ""
    assert built.returncode == 0
    assert "text.words" in (tmp_path / "pages" / "write-a-task.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("Settings", Settings),
        ("Accounts", Account),
        ("API keys", ApiKey),
        ("Limits", Limits),
        ("Slots", Slots),
        ("Stores", StoreSettings),
    ],
)
def test_each_setting_stands_with_its_default_and_no_other_does(
    heading: str, struct: type[Struct]
) -> None:
    documented = {name: cells[0] for name, cells in rows(section("settings.md", heading)).items()}
    assert documented == {
        field.name: default_words(field) for field in msgspec.structs.fields(struct)
    }


def default_words(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    if field.default is None:
        return "none"
    if field.default_factory is dict:
        return "`{}`"
    if isinstance(field.default, Struct):
        return table_words(field.default)
    return f"`{json.dumps(field.default)}`"


def table_words(table: Struct) -> str:
    """As one writes it in TOML, which has no null."""
    values = msgspec.structs.asdict(table)
    words = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
    return f"`{{ {', '.join(words)} }}`" if words else "none"


def test_each_setting_has_the_unit_that_its_name_tells() -> None:
    for name, cells in rows(section("settings.md", "Settings")).items():
        for ending, unit in (("_seconds", "seconds"), ("_bytes", "bytes")):
            assert (cells[1] == unit) == name.endswith(ending), name


def test_each_route_is_in_the_reference_and_no_other_is() -> None:
    documented = set(re.findall(r"`((?:GET|POST|DELETE|PUT) /[^`?]*)`", read("api.md")))
    assert documented == set(routes())


@pytest_asyncio.fixture
async def raising_url() -> AsyncIterator[str]:
    """A server that raises the error that the path names, behind Dragon's own middleware."""

    async def handle(request: web.Request) -> web.Response:
        error = ERRORS[request.match_info["name"]]
        arguments: tuple[Any, ...] = ("", 1)
        raise error(*arguments[: len(inspect.signature(error).parameters)])

    app = web.Application(middlewares=[answer])
    app.router.add_get("/{name}", handle)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield str(server.make_url("/"))
    await server.close()


async def test_each_error_stands_with_the_status_that_it_gets(raising_url: str) -> None:
    documented = rows(section("api.md", "Errors"))
    assert documented.keys() >= ERRORS.keys()
    async with aiohttp.ClientSession() as session:
        for name in ERRORS:
            async with session.get(raising_url + name) as response:
                words = documented[name][0]
                # Those without a status never reach a face; one that did would be a bug.
                assert response.status == int(words.replace("none", "500")), name


def test_the_page_of_tasks_is_what_their_types_say() -> None:
    assert PAGE.read_text("utf-8") == tasks_page(Registry.load(["tasks"])), (
        "run: python docs/generate_tasks.py"
    )


def test_each_transition_is_in_the_state_chart() -> None:
    chart = section("architecture.md", "The states of a job")
    assert set(rows(chart)) == set(SCRIPTS)


async def test_each_metric_is_in_the_operators_page(api: Api) -> None:
    async with api.session.get(api.url + "/metrics") as response:
        found = set(re.findall(r"^# TYPE (\S+)", await response.text(), re.MULTILINE))
    assert found == set(rows(section("operating.md", "Metrics")))


async def test_each_measure_of_confinement_is_in_the_operators_page(api: Api) -> None:
    status, health = await api.get("/health/ready")
    assert status == 200
    for worker in health["workers"].values():
        assert set(worker["confinement"]) == set(rows(section("operating.md", "Confinement")))


def test_each_log_event_that_is_named_exists() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "dragon").rglob("*.py"))
    first_cells = re.findall(r"^\| (`.*?) \|", section("operating.md", "Logs"), re.MULTILINE)
    events = [event for cell in first_cells for event in re.findall(r"`(\w+)`", cell)]
    assert len(events) > 10
    assert [event for event in events if f'"{event}"' not in code] == []


def test_each_room_and_each_module_beside_them_is_on_the_plan() -> None:
    plan = re.findall(r"^\| (`.*?) \|", section("architecture.md", "The rooms"), re.MULTILINE)
    named = {Path(name).name for cell in plan for name in re.findall(r"`([^`]+)`", cell)}
    code = [path for path in (ROOT / "dragon").iterdir() if not path.name.startswith("__")]
    assert named == {
        "tasks",
        *(path.name for path in code if path.suffix == ".py" or path.is_dir()),
    }


def test_each_path_that_a_page_names_exists() -> None:
    for page in DOCS.rglob("*.md"):
        for path in re.findall(
            r"`((?:dragon|tasks|docs|tests)/[\w/.-]*)`", page.read_text("utf-8")
        ):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_example_is_found_by_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    [task] = Registry.load(["my_tasks"])
    assert (task.name, task.summary) == (
        "text.words",
        "count the words of a text file, and list them in a table.",
    )


async def test_the_example_runs_in_a_dragon(tmp_path: Path, origin: Origin) -> None:
    origin.bodies["poem.txt"] = b"a Rose is a rose is a rose"
    origin.bodies["noise.bin"] = b"\xff\xfe\xff"
    path = f"{EXAMPLES}:{ROOT}"
    with Dragon(tmp_path / "dragon", config=EXAMPLE_CONFIG, PYTHONPATH=path) as dragon:
        async with aiohttp.ClientSession() as session:
            api = Api(session, dragon.url)
            counted = await run_example(api, url=origin.url("poem.txt"), most=2)
            assert counted["result"]["count"] == 8
            assert counted["result"]["most_frequent"] == ["a", "rose"]
            async with session.get(counted["result"]["table"]) as response:
                assert response.content_type == "text/csv"
                assert (await response.text()).split() == ["word,count", "a,3", "rose,3", "is,2"]

            as_written = await run_example(
                api, url=origin.url("poem.txt"), letters="as written", most=1
            )
            assert as_written["result"]["most_frequent"] == ["a"]
            broken = await run_example(api, url=origin.url("noise.bin"))
            assert broken["result"].endswith("is not a text in UTF-8")
            wrong = await run_example(api, url=origin.url("poem.txt"), most=0)
            assert wrong["result"] == "most: must be a whole number from 1 to 100"


async def run_example(api: Api, **parameters: Any) -> dict[str, Any]:
    return await api.run(task_name="text.words", **parameters)
