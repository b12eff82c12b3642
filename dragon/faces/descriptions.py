"""What there is to ask for: /v2/tasks describes the tasks, /v2/openapi.json all routes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from dragon.faces.webhooks import TASK_ENDED
from dragon.http.answers import Failure
from dragon.http.describing.documents import Document, Known, document_answers
from dragon.http.describing.openapi import make_document
from dragon.http.describing.routes import About, Route, told
from dragon.json_schema import Schema, input_schema, output_schema
from dragon.registry import Registry
from dragon.schemas import Kind
from dragon.settings import Settings
from dragon.task import TaskType


class TaskDescription(Struct, frozen=True, kw_only=True):
    """A task; `input` and `output` are JSON Schemas of its parameters and of its result."""

    name: str
    summary: str
    kind: Annotated[Kind, Meta(description="the class of work, each of which has its workers")]
    timeout_seconds: float
    input: Schema
    output: Schema


HOOKS = {"task_ended": TASK_ENDED}


class TaskName(Struct, frozen=True):
    name: str


class Descriptions:
    """Of the tasks of a site, and of the routes of all faces: these and `others`."""

    def __init__(self, settings: Settings, registry: Registry, others: Sequence[Route]) -> None:
        self._registry = registry
        self._tasks = Document(lambda: list(map(describe, registry)))
        self._by_name = {task.name: Document(partial(describe, task)) for task in registry}
        routes, url = [*others, *self.routes()], settings.public_url or "/"
        self._document = Document(lambda: make_document(routes, HOOKS, registry, url))

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v2/tasks", self.tasks, TASKS),
            Route("GET", "/v2/tasks/{name}", self.task, TASK),
            Route("GET", "/v2/openapi.json", self.document, DOCUMENT),
        ]

    async def tasks(self, request: web.Request) -> web.Response:
        return self._tasks.answer(request)

    async def task(self, request: web.Request) -> web.Response:
        task = self._registry.find(request.match_info["name"])
        return self._by_name[task.name].answer(request)

    async def document(self, request: web.Request) -> web.Response:
        return self._document.answer(request)


def describe(task: TaskType) -> TaskDescription:
    return TaskDescription(
        name=task.name,
        summary=task.summary,
        kind=task.kind,
        timeout_seconds=task.timeout_seconds,
        input=input_schema(task),
        output=output_schema(task),
    )


TASKS = About(
    summary="Describe all tasks",
    headers=(Known,),
    answers=document_answers("The tasks, by their names.", list[TaskDescription]),
)
TASK = About(
    summary="Describe one task",
    path=TaskName,
    headers=(Known,),
    answers={
        **document_answers("The task.", TaskDescription),
        404: told("There is no such task.", Failure),
    },
)
DOCUMENT = About(
    summary="Describe all routes",
    headers=(Known,),
    answers=document_answers("This document.", Schema),
)
