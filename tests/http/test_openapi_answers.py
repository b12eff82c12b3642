"""The server answers as its OpenAPI document says, whatever schemathesis asks."""

import json
import urllib.request
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis import CheckFunction, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.processes import Dragon
from tests.support.routes import routes
from tests.support.waiting import DEADLINE_SECONDS

HEADERS = {"Authorization": "Secret any-secret"}
EMPTIED = {"Authorization": "Secret emptied-secret"}
"""An account of which no other test has files."""

OF_ANY_ANSWER = {
    "access-control-allow-origin",
    "access-control-expose-headers",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-resource-policy",
    "date",
    "server",
    "transfer-encoding",
    "x-content-type-options",
}

UNKNOWN = "A" * 26
REFUSED = "http://127.0.0.1:1/"
"""No web hook reaches that port."""

SETTINGS = settings(
    max_examples=8,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)


class Asked:
    """The document of a server, as it is and as it is asked by: of harmless tasks, known keys."""

    def __init__(self, url: str) -> None:
        self.document = fetch(url + "/v2/openapi.json")
        you = {"task_name": "hello", "name": "you", "url_callback": REFUSED}
        words = {"task_name": "site.write", "text": "words"}
        body = {"block": True, "tasks": [words, you, {"task_name": "hello"}]}
        keys = [status["key"] for status in fetch(url + "/v2/create", body)]
        [delivery, *_] = fetch(url + "/v2/webhooks/deliveries")["deliveries"]
        there = {
            "/files/{key}/{filename}": {"key": keys[0], "filename": "output.txt"},
            "/static/{name}": {"name": "sample.jpg"},
            "/v2/tasks/{name}": {"name": "hello"},
            "/v2/webhooks/deliveries/{id}/replay": {"id": delivery["id"]},
        }
        project = ProjectConfig(base_url=url, request_timeout=DEADLINE_SECONDS)
        config = SchemathesisConfig(projects=ProjectsConfig(default=project))
        self.schema: BaseSchema = schemathesis.openapi.from_dict(
            narrowed(self.document, [*keys, UNKNOWN], there), config=config
        )

    def ask(self, operation: Any, mode: GenerationMode) -> set[int]:
        """Many requests, right ones or wrong ones; the statuses that were answered."""
        seen = set()

        @SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask_once(case: Any) -> None:
            headers = EMPTIED if "storage" in operation.path else HEADERS
            response = case.call(headers=headers, timeout=DEADLINE_SECONDS, allow_redirects=False)
            status = response.status_code
            seen.add(status)
            case.validate_response(response, excluded_checks=excluded(operation.path, status))
            methods = self.document["paths"][operation.path]
            answer = methods[operation.method.lower()]["responses"][str(status)]
            check_headers(answer, response.headers)
            if response.headers.get("content-type") == ["application/x-ndjson"]:
                self.check_lines(answer, response.text)

        ask_once()
        return seen

    def check_lines(self, answer: dict[str, Any], text: str) -> None:
        """What is in a stream is of the types that the document has for its lines."""
        schema = answer["content"]["application/x-ndjson"]["schema"]
        validator = Draft202012Validator({**schema, "components": self.document["components"]})
        for line in filter(None, text.split("\n")):
            validator.validate(json.loads(line))


def check_headers(answer: dict[str, Any], headers: dict[str, list[str]]) -> None:
    """There is none that the document does not tell of, there or in its description."""
    told = {name.lower() for name in answer.get("headers", ())}
    assert headers.keys() - told <= OF_ANY_ANSWER
    if "cache-control" not in told:
        assert headers.get("cache-control", ["no-store"]) == ["no-store"]


def excluded(path: str, status: int) -> list[CheckFunction]:
    """What a request meets by chance, and how the tasks are that it names, is no fault of it."""
    checks: list[CheckFunction] = []
    if "create" in path:
        checks.append(negative_data_rejection)
    # Stored files are named by paths and times that may be none, or leave nothing to choose.
    if status in (412, 416, 422) or (status == 400 and ("file" in path or "storage" in path)):
        checks.append(positive_data_acceptance)
    # Who waits for no time at all is told that the task goes on.
    if status == 503 and "create_file" in path:
        checks.append(not_a_server_error)
    return checks


def fetch(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, HEADERS)  # noqa: S310
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:  # noqa: S310
        return json.load(response)


def narrowed(
    document: dict[str, Any], keys: list[str], there: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """The document with requests for tasks that take no time, and for what is `there`."""
    narrow: dict[str, Any] = json.loads(json.dumps(document))
    schemas = narrow["components"]["schemas"]
    quick = [schemas[name] for name in ("hello", "site.write")]
    for schema in quick:
        for name in ("url_callback", "url_errback", "repeats", "steps"):
            schema["properties"].pop(name, None)
        # JSON Schema has no words for numbers that no 64 bits hold.
        schema["properties"]["task_metas"] = {"type": ["array", "string"], "items": {"const": 1}}
        schema["properties"]["task_store"] = {"enum": [{"type": "volatile"}, {}]}
    schemas["TaskDefinition"] = {"oneOf": quick}
    schemas["CreateFileBody"]["properties"]["task"] = makes_file = quick[1]
    asked = []
    for operations in narrow["paths"].values():
        for method, operation in operations.items():
            parameters = operation.setdefault("parameters", [])
            # Each may stand in one place alone: there in the body.
            parameters[:] = [one for one in parameters if method != "delete" or one["in"] == "path"]
            asked += parameters
    for name, body in schemas.items():
        if name.endswith("Body"):
            asked.append(body)
            # The header wins: in a body they count for nothing.
            del body["properties"]["secret"], body["properties"]["api_key"]
            # Of what is deleted, made up URLs are none.
            body["properties"].pop("urls", None)
    key = document["components"]["schemas"]["Status"]["properties"]["key"]
    for place in asked:
        replace(place, key, {"enum": keys})
        limit_waiting(place)
        if place.get("name") == "definition":
            # OpenAPI has no words for how objects inside of it are written, either.
            place["schema"] = without_objects(makes_file)
    for path, values in there.items():
        for operation in narrow["paths"][path].values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = {"enum": [values[parameter["name"]]]}
    return narrow


def limit_waiting(place: dict[str, Any]) -> None:
    """How long one may wait is a setting, and any signature would be a wrong one."""
    if place.get("name") == "wait":
        place["schema"]["maximum"] = 1
    elif "wait" in place.get("properties", ()):
        place["properties"]["wait"]["maximum"] = 1
    elif place.get("name") in ("account", "expires", "signature"):
        place["schema"] = {"not": {}}


def replace(value: dict[Any, Any] | list[Any], old: Any, new: Any) -> None:
    """Wherever it stands inside."""
    places: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for place, item in places:
        if item == old:
            value[place] = new
        elif isinstance(item, dict | list):
            replace(item, old, new)


def without_objects(definition: dict[str, Any]) -> dict[str, Any]:
    properties = definition["properties"].items()
    kept = {name: schema for name, schema in properties if name not in ("task_metas", "task_store")}
    return {**definition, "properties": kept}


@pytest.fixture(scope="module")
def asked(dragon: Dragon) -> Asked:
    return Asked(dragon.url)


@pytest.mark.usefixtures("no_bugs")
@pytest.mark.parametrize("route", routes())
def test_each_answer_is_as_the_document_says(asked: Asked, route: str) -> None:
    method, path = route.split(" ")
    operation = asked.schema[path][method]
    assert min(asked.ask(operation, GenerationMode.POSITIVE)) < 400
    if operation.query or operation.body:
        asked.ask(operation, GenerationMode.NEGATIVE)
