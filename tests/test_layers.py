"""Imports go one way, and libvips stays out of the server and the worker."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import wait_until

LAYERS = (
    (
        "",
        "errors",
        "schemas",
        "settings",
        "log",
        "hints",
        "urls",
        "kernel",
        "background",
        "webhook_signatures",
        "signing",
    ),
    ("task",),
    ("params", "registry", "json_schema", "formats"),
    ("store",),
    ("storage",),
    ("engine",),
    ("http",),
    ("faces",),
    ("app", "local", "client"),
    ("cli",),
    ("__main__",),
)


def test_a_module_of_dragon_imports_no_layer_above_its_own() -> None:
    assert list(upward_imports(ROOT)) == []


def test_a_task_imports_from_dragon_only_what_is_made_for_tasks() -> None:
    assert list(foreign_imports(ROOT)) == []


def test_an_upward_import_is_found_wherever_it_stands(tmp_path: Path) -> None:
    write(tmp_path / "dragon/store/store.py", "from dragon.engine.engine import Engine")
    write(tmp_path / "dragon/task.py", "def f():\n    import dragon.http")
    write(tmp_path / "dragon/engine/worker/run.py", "from dragon import cli, params")
    write(tmp_path / "dragon/params.py", "from tasks.hello import hello")
    assert sorted(upward_imports(tmp_path)) == [
        "dragon.engine.worker.run imports dragon.cli",
        "dragon.params imports tasks.hello",
        "dragon.store.store imports dragon.engine.engine",
        "dragon.task imports dragon.http",
    ]


def test_a_module_that_is_in_no_layer_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "dragon/helpers.py", "import dragon.errors")
    with pytest.raises(AssertionError, match="helpers"):
        list(upward_imports(tmp_path))


def test_a_task_that_looks_into_the_engine_is_found(tmp_path: Path) -> None:
    write(tmp_path / "tasks/hello.py", "from dragon.task import task\nimport dragon.store.store")
    assert list(foreign_imports(tmp_path)) == ["tasks.hello imports dragon.store.store"]


def test_loading_the_server_and_all_tasks_does_not_load_libvips_or_ffmpeg() -> None:
    code = (
        "import sys, dragon.app\n"
        "from dragon.registry import Registry\n"
        "assert Registry.load(('tasks',)).get('image.thumb')\n"
        "sys.exit(bool({'pyvips', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_only_decoders_have_libvips_in_their_memory(dragon: Dragon) -> None:
    wait_until(lambda: dragon.decoders() and all(map(has_libvips, dragon.decoders())))
    assert not has_libvips(dragon.server())
    assert not has_libvips(dragon.worker())


def has_libvips(process: psutil.Process) -> bool:
    return any("libvips" in region.path for region in process.memory_maps())


def write(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)


def upward_imports(root: Path) -> Iterator[str]:
    for module, imported in imports(root, "dragon"):
        if imported.partition(".")[0] == "tasks" or layer(imported) > layer(module):
            yield f"{module} imports {imported}"


def foreign_imports(root: Path) -> Iterator[str]:
    """What tasks import of ours besides dragon.task and their own toolkit."""
    for module, imported in imports(root, "tasks"):
        if imported != "dragon.task" and not f"{imported}.".startswith("tasks.toolkit."):
            yield f"{module} imports {imported}"


def layer(module: str) -> int:
    name = module.removeprefix("dragon").lstrip(".").partition(".")[0]
    found = [number for number, names in enumerate(LAYERS) if name in names]
    assert found, f"{module} is in no layer"
    return found[0]


def imports(root: Path, package: str) -> Iterator[tuple[str, str]]:
    """Each module of a package with each module of ours that it imports."""
    for path in sorted((root / package).rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            for imported in imported_modules(node):
                if imported.partition(".")[0] in ("dragon", "tasks"):
                    yield module, imported


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute, so that one sees whence"
        source = node.module or ""
        # `from dragon.store import keys` names a package; its layer is in the next word.
        is_package = source in ("dragon", "tasks", "tasks.toolkit")
        names = [alias.name for alias in node.names if not alias.name.startswith("_")]
        return [f"{source}.{name}" for name in names] if is_package else [source]
    return []


def test_tasks_on_sound_and_video_fetch_within_the_limits_of_media() -> None:
    paths = [*ROOT.glob("tasks/audio/*.py"), *ROOT.glob("tasks/video/*.py")]
    paths += [*ROOT.glob("tasks/toolkit/audio/*.py"), *ROOT.glob("tasks/toolkit/video/*.py")]
    calls = [
        (path.name, call)
        for path in paths
        for call in re.findall(r"ctx\.fetch\([^\n]*", path.read_text("utf-8"))
    ]
    assert calls
    assert [call for call in calls if "is_media=True" not in call[1]] == []
