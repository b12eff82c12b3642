"""The table of promises names tests that exist, tells how often they try, and leaves none out."""

import importlib
import re

from tests.support.paths import ROOT

CHAOS = ROOT / "tests" / "chaos"
TIMES = r"\| (\S+) \| `(test_\w+)` \| ([\d,]+) \| ([\d,]+) \|"


def test_each_row_is_a_test_with_its_numbers_and_no_test_is_left_out() -> None:
    page = (ROOT / "docs" / "promises.md").read_text("utf-8")
    rows = [
        (name, int(ci.replace(",", "")), int(long.replace(",", "")))
        for _, name, ci, long in re.findall(TIMES, page)
    ]
    assert sorted(rows) == sorted(chaos_tests())


def test_each_row_has_the_number_that_its_test_has() -> None:
    page = (ROOT / "docs" / "promises.md").read_text("utf-8")
    for number, name, _, _ in re.findall(TIMES, page):
        assert name.startswith(f"test_p{int(number.removeprefix('P')):02}_")


def chaos_tests() -> list[tuple[str, int, int]]:
    """Name, tries in CI and tries in the long run of every chaos test."""
    found = []
    for path in sorted(CHAOS.glob("test_*.py")):
        module = importlib.import_module(f"tests.chaos.{path.stem}")
        for name, function in vars(module).items():
            if name.startswith("test_") and function.__module__ == module.__name__:
                marks = [mark for mark in function.pytestmark if mark.name == "chaos"]
                assert len(marks) == 1, name
                found.append((name, marks[0].kwargs["ci"], marks[0].kwargs["long"]))
    return found
