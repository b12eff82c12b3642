"""Each task has an example in docs/tasks.md, which answers as the page shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dragon.registry import Registry
from tests.examples import SHOWN_URL, definitions, shell_lines
from tests.support.api import Api
from tests.support.processes import Dragon
from tests.test_readme import run_block

KEY = re.compile(r"/[A-Z2-7]{26}/")
NAMES = sorted(definitions())


def test_each_task_has_an_example_and_nothing_else_does() -> None:
    assert sorted(task.name for task in Registry.load(["tasks"])) == NAMES, (
        "add a definition to docs/examples/tasks.json, then run: python -m tests.examples NAME"
    )
    assert sorted(shell_lines()) == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_the_example_of_a_task_answers_as_shown(
    name: str, dragon: Dragon, api: Api, tmp_path: Path
) -> None:
    [status] = json.loads(run_block(shell_lines()[name], dragon, tmp_path))
    assert status["status"] == "success", status
    shown = json.loads(json.dumps(definitions()[name]["result"]).replace(SHOWN_URL, dragon.url))
    assert_alike(status["result"], shown)
    for url in files_in(status["result"], dragon.url):
        async with api.session.get(url) as response:
            assert response.status == 200
            assert await response.read()


def assert_alike(found: Any, shown: Any, where: str = "result") -> None:
    """The same but for keys of jobs; numbers that are computed may differ by a little."""
    assert type(found) is type(shown), where
    if isinstance(shown, dict):
        assert found.keys() == shown.keys(), where
        for name, value in shown.items():
            assert_alike(found[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert len(found) == len(shown), where
        for index, value in enumerate(shown):
            assert_alike(found[index], value, f"{where}[{index}]")
    elif isinstance(shown, int | float):
        assert found == pytest.approx(shown, rel=0.05, abs=0.05), where
    elif isinstance(shown, str):
        assert KEY.sub("/KEY/", found) == KEY.sub("/KEY/", shown), where


def files_in(result: Any, server_url: str) -> list[str]:
    """The addresses of the files that a task made."""
    values = result.values() if isinstance(result, dict) else ()
    return [one for one in values if str(one).startswith(f"{server_url}/files/")]
