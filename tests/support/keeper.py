"""A client of an account whose stored files are the test's alone."""

from typing import Any
from urllib.parse import quote

from tests.support.accounts import KEEPER
from tests.support.api import Answer, Api


class Keeper:
    """Makes files, and asks the storage methods for them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.headers = {"Authorization": f"Secret {KEEPER}"}

    async def make(self, *texts: str, **more: Any) -> list[str]:
        """URLs of files with these texts, each of a job of its own."""
        tasks = [{"task_name": "site.text", "text": text, **more} for text in texts]
        body = {"tasks": tasks, "block": True}
        _, finals = await self.api.post("/v1/create", body, **self.headers)
        return [final["result"]["output"] for final in finals]

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        return await self.api.ask(method, "/v2/storage" + path, headers=self.headers, **options)

    async def look(self, path: str = "", **query: Any) -> dict[str, Any]:
        answer = await self.ask("GET", "/files/" + quote(path), params=query)
        assert answer.status == 200, answer.body
        return dict(answer.json)

    async def get(self, url: str) -> Answer:
        """Of a file, as anybody gets it."""
        return await self.api.ask("GET", url.removeprefix(self.api.url))

    async def names(self, path: str = "") -> list[str]:
        """Of all files below a path."""
        return [file["name"] for file in (await self.look(path, recursive="true"))["files"]]

    async def delete(self, path: str = "", **body: Any) -> dict[str, Any]:
        answer = await self.ask("DELETE", "/files/" + quote(path), json=body)
        assert answer.status == 200, answer.body
        return dict(answer.json)

    async def problems(self, method: str, path: str, **options: Any) -> list[tuple[str, str]]:
        """Name and place of each problem of a request that is refused."""
        answer = await self.ask(method, path, **options)
        assert answer.status == 400, answer.body
        assert answer.json["status"] == "error"
        return [(problem["name"], problem["location"]) for problem in answer.json["errors"]]


def key_of(url: str) -> str:
    return url.split("/")[-2]
