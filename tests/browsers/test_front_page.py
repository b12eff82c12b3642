"""The page at / names what is there."""

import re

from dragon.registry import Registry
from tests.support.api import Api


async def test_each_address_of_its_own_that_the_front_page_names_answers(api: Api) -> None:
    page = (await api.ask("GET", "/")).body.decode()
    paths = set(re.findall(r'(?:href|src|content)="(/[^"]*)"', page))
    assert paths >= {"/dragon.js", "/v2/openapi.json", "/health/ready", "/static/sample.mp4"}
    answers = {path: (await api.ask("GET", path)).status for path in paths}
    assert set(answers.values()) == {200}, answers


async def test_the_requests_that_the_front_page_shows_are_routes_of_the_second_version(
    api: Api,
) -> None:
    page = (await api.ask("GET", "/")).body.decode()
    routes = (await api.ask("GET", "/v2/openapi.json")).json["paths"]
    shown = re.findall(r"(GET|POST) (/v2/\w+)(/[\w.]+)?", page)
    assert len(shown) == 3
    for method, path, filename in shown:
        assert method.lower() in routes[path + ("/{filename}" if filename else "")]
    [task_name] = re.findall(r"task_name=([\w.]+)", page)
    assert task_name in {task.name for task in Registry.load(["tasks"])}
