"""Logs: a JSON line for each request and state change, colours on a terminal, never a secret."""

import contextlib
import json
import os
import pty
import re
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from dragon.schemas import is_key
from tests.support.accounts import API_KEY, PAGE, SECRET
from tests.support.api import Api
from tests.support.origin import Origin
from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import eventually, wait_until
from tests.support.wire import send_raw


def lines_about(dragon: Dragon, key: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in dragon.log().splitlines() if key in line)
    return [line for line in lines if line["event"] != "request"]


async def states(dragon: Dragon, key: str, last: str) -> list[tuple[str, str | None]]:
    """Event and status of a job's lines, once those of its creation and of the last have come."""
    await eventually(
        lambda: {"job_created", last} <= {line["event"] for line in lines_about(dragon, key)}
    )
    # The server tells of a job when the store has answered, and by then it may run already.
    lines = sorted(lines_about(dragon, key), key=lambda line: line["event"] != "job_created")
    return [(line["event"], line.get("status")) for line in lines]


async def test_a_request_is_one_line_of_json(dragon: Dragon, api: Api) -> None:
    path = f"/v1/{secrets.token_hex(8)}"
    await api.get(path)
    await eventually(lambda: path in dragon.log())
    [line] = [line for line in dragon.events("request") if line["path"] == path]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert 0 <= line.pop("seconds") < 20
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": path,
        "status": 404,
    }


async def test_what_machines_ask_for_all_the_time_is_no_line(dragon: Dragon, api: Api) -> None:
    """As `dragon run` does until it is ready."""
    for probed in ("/health/live", "/health/ready", "/metrics"):
        await api.ask("GET", probed)
    path = f"/v1/{secrets.token_hex(8)}"
    await api.get(path)
    await eventually(lambda: path in dragon.log())
    paths = {line["path"] for line in dragon.events("request")}
    assert not [path for path in paths if path.startswith(("/health", "/metrics"))]


async def test_each_state_of_a_job_is_one_line(dragon: Dragon, api: Api) -> None:
    final = await api.run(task_name="hello", name="John")
    assert is_key(final["key"])
    assert await states(dragon, final["key"], "job_ran") == [
        ("job_created", "queued"),
        ("job_started", None),
        ("job_ran", "success"),
    ]
    [ran] = [line for line in lines_about(dragon, final["key"]) if line["event"] == "job_ran"]
    assert (ran["task"], ran["account"], ran["attempt"]) == ("hello", "acme", 1)


async def test_a_job_that_fails_says_so(dragon: Dragon, api: Api) -> None:
    final = await api.run(task_name="site.fail")
    assert (await states(dragon, final["key"], "job_ran"))[-1] == ("job_ran", "error")


async def test_a_job_with_wrong_parameters_is_created_as_an_error(dragon: Dragon, api: Api) -> None:
    final = await api.run(task_name="hello")
    assert await states(dragon, final["key"], "job_created") == [("job_created", "error")]


async def test_each_try_of_a_job_is_told(dragon: Dragon, api: Api) -> None:
    final = await api.run(task_name="site.interrupted")
    await eventually(lambda: len(lines_about(dragon, final["key"])) == 9)
    assert await states(dragon, final["key"], "job_ran") == [
        ("job_created", "queued"),
        ("job_started", None),
        ("job_interrupted", None),
        ("job_ran", "queued"),
        ("job_started", None),
        ("job_interrupted", None),
        ("job_ran", "queued"),
        ("job_started", None),
        ("job_ran", "error"),
    ]


async def test_a_bug_is_logged_with_its_stack_on_one_line(dragon: Dragon, api: Api) -> None:
    final = await api.run(task_name="site.bug")
    await eventually(
        lambda: any(line["event"] == "run_bug" for line in lines_about(dragon, final["key"]))
    )
    [line] = [line for line in lines_about(dragon, final["key"]) if line["event"] == "run_bug"]
    assert line["level"] == "error"
    assert "ZeroDivisionError: a secret detail" in line["exception"]


async def test_no_credential_and_no_signature_is_ever_logged(
    dragon: Dragon, api: Api, origin: Origin
) -> None:
    signature = secrets.token_hex(16)
    wrong = secrets.token_hex(16)
    sources = [origin.url(name) + f"?signature={signature}" for name in ("rocket.jpg", "missing")]
    for name, value in (("secret", SECRET), ("api_key", API_KEY), ("secret", wrong)):
        for source in sources:
            query = urlencode({"task_name": "image.info", "url": source, name: value})
            await api.ask("GET", f"/v1/create_file/x.jpg?{query}", headers={"Referer": PAGE})
            await api.ask("GET", f"/{secrets.token_hex(4)}?{query}")
            tasks = {"task_name": "image.info", "url": source}
            body = {name: value, "tasks": tasks, "block": True}
            await api.ask("POST", "/v1/create", json=body, headers={"Referer": PAGE})
    marker = f"/{secrets.token_hex(8)}"
    await api.ask("GET", marker)
    await eventually(lambda: marker in dragon.log())
    assert origin.hits.count("rocket.jpg") > 0
    for text in (SECRET, API_KEY, wrong, signature):
        assert text not in dragon.log()


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v1/status?secret=acme-secret&tasks=\xff HTTP/1.1",
        b"GET http://[bad/?secret=acme-secret HTTP/1.1",
        b"GET / HTTP/1.1\r\nContent-Length: acme-secret",
        b"GET / HTTP/1.1\r\nAuthorization: Secret acme-secret\x00",
    ],
)
async def test_a_malformed_request_is_logged_on_one_line_without_its_words(
    dragon: Dragon, request_line: bytes
) -> None:
    words = "Error handling request from 127.0.0.1"
    before = len(dragon.events(words))
    await send_raw(dragon.url, request_line + b"\r\nHost: localhost\r\n\r\n")
    await eventually(lambda: len(dragon.events(words)) > before)
    assert SECRET not in dragon.log()
    assert dragon.events(words)[-1]["library"] == "aiohttp.server"
    assert not [line for line in dragon.log().splitlines() if line.startswith("Traceback")]


def test_a_terminal_gets_coloured_lines(tmp_path: Path) -> None:
    terminal, child_side = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:
            while part := file.read(4096):
                seen.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with subprocess.Popen(
        [sys.executable, "-m", "dragon", "run", "--port", "0", "--data", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=child_side,
    ) as process:
        os.close(child_side)
        try:
            wait_until(lambda: b"server_started" in b"".join(seen))
        finally:
            process.terminate()
    reader.join()
    lines = b"".join(seen).decode().splitlines()
    [started] = [line for line in lines if "server_started" in line]
    assert "\x1b[" in started
    assert not started.startswith("{")


def test_json_may_be_asked_for_and_the_level_too(tmp_path: Path) -> None:
    with Dragon(tmp_path, DRAGON_LOG_FORMAT="json", DRAGON_LOG_LEVEL="warning") as dragon:
        assert dragon.decoders()
    # A busy machine may be warned of.
    assert '"level":"info"' not in dragon.log()


def test_a_pipe_gets_nothing_but_json(tmp_path: Path) -> None:
    with Dragon(tmp_path):
        pass
    lines = (tmp_path / "dragon.log").read_text().splitlines()
    assert {json.loads(line)["event"] for line in lines} >= {"server_started", "worker_stopped"}
