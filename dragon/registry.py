"""The tasks of a site, by name, loaded from the packages that the setting task_packages lists."""

import importlib
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from dragon.errors import InvalidSettings, UnknownTask
from dragon.schemas import HOOK_TASK
from dragon.task import RESERVED_NAMES, TaskType


class Registry:
    """The tasks, in the order of their names. `warm` and `environment` are for decoder children.

    Raises InvalidSettings if two tasks have one name, or it or a parameter's name is not for them.
    """

    def __init__(
        self,
        tasks: Iterable[TaskType],
        warm: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._tasks: dict[str, TaskType] = {}
        for task in sorted(tasks, key=lambda task: task.name):
            _refuse_reserved(task)
            _refuse_twice(self._tasks.setdefault(task.name, task), task)
            _refuse_hook(task)
        self.warm = tuple(warm)
        self.environment = dict(environment or {})

    @classmethod
    def load(cls, packages: Iterable[str]) -> "Registry":
        """Import each package's `MODULES`; its `WARM` modules are what children load early, and
        `WARM_ENVIRONMENT` what they find in their environment then.

        Raises InvalidSettings for what cannot be imported and for a package without `MODULES`.
        """
        tasks: list[TaskType] = []
        warm: list[str] = []
        environment: dict[str, str] = {}
        for name in packages:
            package = _import(name)
            warm += getattr(package, "WARM", ())
            environment |= getattr(package, "WARM_ENVIRONMENT", {})
            for module_name in _modules(package):
                tasks += _tasks_of(_import(module_name))
        return cls(tasks, warm, environment)

    def get(self, name: str) -> TaskType | None:
        return self._tasks.get(name)

    def find(self, name: str) -> TaskType:
        """The task of that name; raises UnknownTask."""
        if task := self._tasks.get(name):
            return task
        known = ", ".join(self._tasks)
        raise UnknownTask(f"unknown task_name {name[:100]!r}, choose one of: {known}")

    def __iter__(self) -> Iterator[TaskType]:
        return iter(self._tasks.values())


def _refuse_reserved(task: TaskType) -> None:
    if taken := RESERVED_NAMES.intersection(task.params.__struct_fields__):
        words = f"the task {task.name!r} has a parameter {min(taken)!r}"
        raise InvalidSettings(f"task_packages: {words}, which create_file takes for itself")


def _refuse_twice(known: TaskType, task: TaskType) -> None:
    if known is not task:
        modules = f"{known.function.__module__} and {task.function.__module__}"
        raise InvalidSettings(f"task_packages: two tasks are called {task.name!r}, in {modules}")


def _refuse_hook(task: TaskType) -> None:
    if task.kind == "hook" or task.name == HOOK_TASK:
        words = f"the class hook and the name {HOOK_TASK!r} are Dragon's own: {task.name}"
        raise InvalidSettings(f"task_packages: {words}")


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        words = f"{type(error).__name__}: {error}{_place(error)}"
        raise InvalidSettings(f"task_packages: cannot import {name}: {words}") from None


def _place(error: Exception) -> str:
    """The file and line to look at, unless the import system itself raised the error."""
    ours = (__file__, importlib.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<")
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _modules(package: ModuleType) -> Iterable[str]:
    names: Any = getattr(package, "MODULES", None)
    # `("my_tasks.words")` is a text for want of a comma, and would be read letter by letter.
    if not isinstance(names, tuple | list):
        words = "needs MODULES, a tuple of the names of the modules that hold its tasks"
        raise InvalidSettings(f"task_packages: {package.__name__} {words}")
    return names


def _tasks_of(module: ModuleType) -> list[TaskType]:
    return [
        value.__dragon_task__
        for value in vars(module).values()
        if hasattr(value, "__dragon_task__") and value.__module__ == module.__name__
    ]
