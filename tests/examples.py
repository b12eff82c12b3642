"""The examples of docs/tasks.md; `python -m tests.examples` runs them all and keeps the results."""

import json
import re
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from docs.generate_tasks import EXAMPLES, PAGE
from dragon.local.running import read_running
from tests.support.processes import Dragon

SHOWN_URL = "http://127.0.0.1:8080"
"""Where the examples expect `make run` to answer."""


def definitions() -> dict[str, dict[str, Any]]:
    """By the name of a task: a `definition`, and the `result` that it had."""
    examples: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text("utf-8"))
    return examples


def shell_lines() -> dict[str, str]:
    """By the name of a task: what its section tells to type."""
    sections = re.split(r"^## (\S+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for name, text in zip(sections[::2], sections[1::2], strict=True):
        [found[name]] = re.findall(r"^```sh\n(curl .*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


def record(names: list[str]) -> None:
    """Run these examples, or all, in a Dragon as `make run` starts it, and keep the results."""
    examples = definitions()
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        with Dragon(data, config=None) as dragon:
            running = read_running(data)
            assert running
            for name in names or examples:
                status = _run(dragon.url, running.secret, examples[name]["definition"])
                assert status["status"] == "success", status
                examples[name]["result"] = _with_url(status["result"], dragon.url, SHOWN_URL)
    ordered = dict(sorted(examples.items()))
    EXAMPLES.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _run(url: str, secret: str, definition: dict[str, Any]) -> dict[str, Any]:
    body = {"tasks": _with_url(definition, SHOWN_URL, url), "block": True}
    headers = {"Authorization": f"Secret {secret}"}
    request = urllib.request.Request(f"{url}/v2/create", json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        [status] = json.load(answer)
    return dict(status)


def _with_url(value: Any, old: str, new: str) -> Any:
    return json.loads(json.dumps(value).replace(old, new))


if __name__ == "__main__":
    record(sys.argv[1:])
