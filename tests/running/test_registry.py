"""The registry: what packages of tasks must be like, and the words for those that are not."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from dragon.errors import InvalidSettings
from dragon.registry import Registry

TASK = """
from dragon.task import Context, Params, task

@task("{name}")
async def run(params: Params, ctx: Context) -> str:
    return ""
"""
Package = Callable[..., str]

_numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Makes an importable package of the texts of its modules, and tells its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(init: str = "MODULES = ({name!r} + '.one',)", **modules: str) -> str:
        # A name of its own: what was imported once stays in this process.
        name = f"package_{next(_numbers)}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(init.format(name=name))
        for module, text in modules.items():
            (tmp_path / name / f"{module}.py").write_text(text)
        return name

    return make


def refusal(*packages: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        Registry.load(packages)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_tasks_of_all_packages_stand_in_the_order_of_their_names(package: Package) -> None:
    packages = [package(one=TASK.format(name=name)) for name in ("site.b", "site.a")]
    registry = Registry.load(packages)
    assert [task.name for task in registry] == ["site.a", "site.b"]
    assert registry.get("site.b")
    assert registry.get("site.c") is None


def test_what_children_are_warmed_up_with_is_collected(package: Package) -> None:
    first = package("MODULES = ()\nWARM = ('json',)\nWARM_ENVIRONMENT = {{'A': '1', 'B': '1'}}")
    second = package("MODULES = ()\nWARM = ('csv',)\nWARM_ENVIRONMENT = {{'B': '2'}}")
    registry = Registry.load([first, second, package("MODULES = ()")])
    assert registry.warm == ("json", "csv")
    assert registry.environment == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    "text",
    [TASK.format(name="webhook"), TASK.format(name="site.a").replace('")', '", kind="hook")')],
)
def test_what_is_kept_for_web_hooks_is_refused(package: Package, text: str) -> None:
    assert refusal(package(one=text)).startswith(
        "task_packages: the class hook and the name 'webhook' are Dragon's own: "
    )


def test_two_tasks_of_one_name_are_refused(package: Package) -> None:
    first, second = (package(one=TASK.format(name="site.a")) for _ in range(2))
    assert refusal(first, second) == (
        f"task_packages: two tasks are called 'site.a', in {first}.one and {second}.one"
    )


@pytest.mark.parametrize("init", ["", "MODULES = 'one'"])
def test_a_package_without_a_tuple_of_modules_is_refused(package: Package, init: str) -> None:
    name = package(init)
    assert refusal(name) == (
        f"task_packages: {name} needs MODULES, a tuple of the names of the modules that hold "
        "its tasks"
    )


def test_a_package_that_is_not_there_is_named() -> None:
    assert refusal("no_such") == (
        "task_packages: cannot import no_such: ModuleNotFoundError: No module named 'no_such'"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such", "ModuleNotFoundError: No module named 'no_such'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (one.py, line 1)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_the_reason(
    package: Package, text: str, words: str
) -> None:
    name = package(one=text)
    message = refusal(name)
    assert message.startswith(f"task_packages: cannot import {name}.one: {words}")
    assert "one.py, line 1)" in message
