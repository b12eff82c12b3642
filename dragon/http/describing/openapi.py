"""Makes an OpenAPI 3.1 document of routes, of the types they tell of and of the tasks there are."""

import re
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any

import msgspec

from dragon import __version__
from dragon.engine.definitions import SoundStore, TaskStore
from dragon.http.describing.routes import (
    FILE_DEFINITION,
    JSON,
    TASK_DEFINITION,
    WITH_AUTO_FORMAT,
    About,
    Answer,
    Credentials,
    Route,
)
from dragon.json_schema import DIALECT, Schema, components, words_of
from dragon.registry import Registry
from dragon.task import TaskType

DESCRIPTION = """\
Tasks are created by a definition, and then asked for by their key. Bodies are read as JSON whatever
their Content-Type says. GET stands for HEAD too, except for streams. Paths under /v1/, /v2/ and
/files/ answer preflights, and pages of any origin. A path that is none is answered with 404, a
method that is none there with 405 and Allow, both with a Failure. No answer may be cached but those
that tell of Cache-Control; files and pictures are sent so that a browser runs nothing in them."""

SECURITY_SCHEMES = {
    "header": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Secret 123456`, or `Api-Key 654321` on a page that is listed",
    },
    "query_secret": {"type": "apiKey", "in": "query", "name": "secret"},
    "query_api_key": {
        "type": "apiKey",
        "in": "query",
        "name": "api_key",
        "description": "on a page that is listed",
    },
}

_IN_BODY: dict[str, list[str]] = {}
"""No scheme can name `secret` and `api_key` in a body: there the document asks for nothing else."""

_SECURITY: dict[Credentials, list[dict[str, list[str]]]] = {
    "none": [],
    "account": [{"header": []}, {"query_secret": []}, {"query_api_key": []}],
    "secret": [{"header": []}, {"query_secret": []}],
}


def make_document(
    routes: Iterable[Route], hooks: Mapping[str, About], registry: Registry, url: str
) -> dict[str, Any]:
    """The document of a server that clients reach at `url`, and of what it posts to them."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = {
            "operationId": _name(route.method, path),
            "tags": [path.split("/")[1] or "pages"],
            **_operation(route.about, route.answers, path, schemas),
        }
    webhooks = {
        name: {"post": _operation(about, about.answers, "", schemas)}
        for name, about in hooks.items()
    }
    definitions = [_definition_type(task) for task in registry]
    definition = schemas.of(reduce(or_, definitions) if definitions else Any)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Dragon", "version": __version__, "description": DESCRIPTION},
        "jsonSchemaDialect": DIALECT,
        "servers": [{"url": url}],
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "securitySchemes": SECURITY_SCHEMES,
            "schemas": {
                **schemas.make(),
                TASK_DEFINITION: definition,
                FILE_DEFINITION: WITH_AUTO_FORMAT,
            },
        },
    }


class _Schemas:
    """Schemas that are filled in at the end, when all types are known by which names differ."""

    def __init__(self) -> None:
        self._types: list[Any] = []
        self._schemas: list[Schema] = []

    def of(self, type_: Any) -> Schema:
        self._types.append(type_)
        self._schemas.append({})
        return self._schemas[-1]

    def make(self) -> dict[str, Schema]:
        """Fill in all that were asked for; by name, what they refer to."""
        found, named = components(self._types)
        for schema, content in zip(self._schemas, found, strict=True):
            # What a field adds, such as its default, stays.
            schema.update(content | schema)
        return named


def _name(method: str, path: str) -> str:
    """What a generated client calls it: such names must differ by more than their underscores."""
    end = "slash" if path.endswith("/") else ""
    return "_".join(filter(None, (method.lower(), *re.findall(r"\w+", path), end)))


def _definition_type(task: TaskType) -> Any:
    """The parameters of a task beside the names that are the system's."""
    fields: list[tuple[str, Any, Any]] = [
        ("task_metas", Any, None),
        ("task_store", SoundStore, TaskStore()),
    ]
    return msgspec.defstruct(
        task.name,
        fields,
        bases=(task.params,),
        namespace={"__doc__": "\n\n".join(filter(None, (task.summary, words_of(task.params))))},
        kw_only=True,
        tag_field="task_name",
        tag=task.name,
    )


def _operation(
    about: About, answers: Mapping[int, Answer], path: str, schemas: _Schemas
) -> dict[str, Any]:
    in_path = (about.path,) if about.path else ()
    places = {"path": in_path, "query": about.query, "header": about.headers}
    parameters = [
        _parameter(field, place, schemas)
        for place, structs in places.items()
        for struct in structs
        for field in msgspec.structs.fields(struct)
        if place != "path" or f"{{{field.encode_name}}}" in path
    ]
    operation: dict[str, Any] = {
        "summary": about.summary,
        "security": [*_SECURITY[about.credentials]],
    }
    if parameters:
        operation["parameters"] = parameters
    if about.body:
        operation["requestBody"] = {
            "required": about.is_body_required,
            "content": {JSON: {"schema": schemas.of(about.body)}},
        }
        operation["security"] += [_IN_BODY] if about.credentials != "none" else []
    operation["responses"] = {
        str(status): _response(answer, schemas) for status, answer in answers.items()
    }
    return operation


def _parameter(field: msgspec.structs.FieldInfo, place: str, schemas: _Schemas) -> dict[str, Any]:
    schema = schemas.of(field.type)
    if field.default not in (msgspec.NODEFAULT, msgspec.UNSET):
        schema["default"] = msgspec.to_builtins(field.default)
    return {
        "name": field.encode_name,
        "in": place,
        "required": field.required,
        "schema": schema,
    }


def _response(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.words}
    if answer.headers:
        response["headers"] = {
            name: {"description": words, "schema": {"type": "string"}}
            for name, words in answer.headers.items()
        }
    if answer.content:
        response["content"] = {
            media_type: _content(types, schemas) for media_type, types in answer.content.items()
        }
    return response


def _content(types: tuple[Any, ...], schemas: _Schemas) -> dict[str, Any]:
    options = [schemas.of(type_) for type_ in types]
    if not options:
        return {}
    return {"schema": options[0] if len(options) == 1 else {"anyOf": options}}
