"""The README's commands and requests do what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyvips import Image

from dragon.cli import cli
from tests.support.accounts import SECRET
from tests.support.paths import ROOT
from tests.support.processes import Dragon

README = (ROOT / "README.md").read_text("utf-8")
KEY = re.compile(r"\A[A-Z2-7]{26}\Z")
DATE = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00\Z")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run_block(block: str, dragon: Dragon, directory: Path) -> str:
    """Run a shell block as a reader would, against this Dragon and with its secret."""
    bash, curl = shutil.which("bash"), shutil.which("curl")
    assert bash
    assert curl, "the README's requests are made with curl"
    script = re.sub(r"^SECRET=.*$", "", block, flags=re.MULTILINE)
    return subprocess.run(
        [bash, "-euc", script.replace("http://127.0.0.1:8080", dragon.url)],
        cwd=directory,
        env={**os.environ, "SECRET": SECRET},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_each_make_target_that_the_readme_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", README.replace("make run printed", "make run")))
    assert named >= {"run", "test"}
    assert named <= targets


def test_each_command_that_the_makefile_runs_is_one_of_dragons() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"\$\(BIN\)/dragon ([a-z]+)", makefile))
    assert named
    assert named <= set(cli.commands)


def test_an_older_python_is_told_by_name_before_anything_is_installed(tmp_path: Path) -> None:
    older = tmp_path / "python3.10"
    pretend = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    older.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    older.chmod(0o755)
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    make = shutil.which("make")
    assert make
    ended = subprocess.run(
        [make, "run", f"PYTHON={older}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert f"Dragon needs Python 3.11 or later, and {older} is 3.10." in ended.stderr
    assert "make PYTHON=python3.12 run" in ended.stderr
    assert not (tmp_path / ".venv").exists()


def test_each_page_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_sections_come_in_the_order_of_a_first_visit() -> None:
    assert README.index("\nmake run\n") < README.index("curl ") < README.index("\nmake test\n")


def test_the_thumbnail_request_makes_a_thumbnail(dragon: Dragon, tmp_path: Path) -> None:
    [block] = [block for block in blocks("sh") if "image.thumb" in block]
    assert run_block(block, dragon, tmp_path) == ""
    picture = Image.new_from_file(str(tmp_path / "thumb.jpg"))
    assert (picture.width, picture.height) == (200, 133)


def test_the_hello_request_answers_as_printed(dragon: Dragon, tmp_path: Path) -> None:
    [block] = [block for block in blocks("sh") if '"hello"' in block]
    [printed] = blocks("json")
    answered = json.loads(run_block(block, dragon, tmp_path))
    assert answered != json.loads(printed)
    assert masked(answered) == masked(json.loads(printed))


def masked(value: Any) -> Any:
    """The value with each key and date told only by its kind."""
    if isinstance(value, dict):
        return {name: masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str) and KEY.match(value):
        return "a key"
    return "a date" if isinstance(value, str) and DATE.match(value) else value
