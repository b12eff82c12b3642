"""An api key is no secret, and a secret no api key, wherever credentials are asked for."""

from typing import Any

import pytest

from tests.http.test_authentication import TASKS, WRONG
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Api
from tests.support.broker import Broker

KEYS = {"tasks": ["A" * 26]}
DELIVERIES = "/v2/webhooks/deliveries"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/create", TASKS),
        ("POST", "/v2/create_stream", TASKS),
        ("POST", "/v2/create_file/x", {"task": TASKS["tasks"]}),
        ("GET", "/v2/create_file/x?task_name=hello&name=John", None),
        ("POST", "/v2/cancel", KEYS),
        ("GET", "/v2/storage/files", None),
        ("DELETE", "/v2/storage/files/x", None),
        ("GET", "/v2/storage/expiration", None),
        ("POST", "/v2/storage/expiration", {"days": 1}),
        ("GET", DELIVERIES, None),
        ("POST", f"{DELIVERIES}/{'A' * 26}/replay", {}),
    ],
)
async def test_no_method_takes_an_api_key_for_a_secret_or_a_secret_for_an_api_key(
    api: Api, broker: Broker, method: str, path: str, body: dict[str, Any] | None
) -> None:
    before = await broker.count_jobs()
    for name, value in (("secret", API_KEY), ("api_key", SECRET)):
        scheme = name.replace("_", "-")
        places: list[dict[str, Any]] = [
            {"headers": {"Referer": PAGE, "Authorization": f"{scheme} {value}"}, "json": body},
            {"headers": {"Referer": PAGE}, "params": {name: value}, "json": body},
        ]
        if body is not None:
            places.append({"headers": {"Referer": PAGE}, "json": {**body, name: value}})
        for place in places:
            answer = await api.ask(method, path, **place)
            assert (answer.status, answer.json) == (401, WRONG)
    assert await broker.count_jobs() == before
