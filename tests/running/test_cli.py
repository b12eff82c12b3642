"""The `dragon` command as a person uses it: words, exit codes, progress."""

import contextlib
import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.accounts import SECRET
from tests.support.commands import COMMAND, UNKNOWN, created_key, dragon_command, environment, here
from tests.support.processes import Dragon


def test_help_names_every_command() -> None:
    ended = dragon_command("--help")
    assert ended.returncode == 0
    for command in ("run", "serve", "worker", "create", "status", "sign"):
        assert re.search(rf"^  {command} +[A-Z]", ended.stdout, re.M), command
        assert dragon_command(command, "--help").returncode == 0


def test_help_of_run_tells_how_many_processes_there_are() -> None:
    words = " ".join(dragon_command("run", "--help").stdout.split())
    for option in ("--servers", "--workers"):
        assert re.search(rf"{option} [^.]*\. \[default: 1; 1<=x<=64\]", words), words


def test_create_prints_the_first_status_and_does_not_wait(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", "name=John", *here(demo))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["status"] == "queued"


def test_create_with_wait_prints_the_last_status_alone(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", "name=John", "--wait", *here(demo))
    assert (ended.returncode, ended.stderr) == (0, "")
    status = json.loads(ended.stdout)
    assert (status["status"], status["result"]) == ("success", "Hello John")


def test_create_with_stream_prints_each_status_on_a_line(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", "name=John", "--stream", *here(demo))
    assert (ended.returncode, ended.stderr) == (0, "")
    first, *_, last = map(json.loads, ended.stdout.splitlines())
    assert (first["status"], last["status"]) == ("queued", "success")
    assert first["key"] == last["key"]


def test_status_prints_one_line_for_each_key(demo: Dragon) -> None:
    keys = [created_key(demo, "John"), created_key(demo, "Jane")]
    ended = dragon_command("status", *keys, *here(demo))
    assert ended.returncode == 0
    results = [json.loads(line)["result"] for line in ended.stdout.splitlines()]
    assert results == ["Hello John", "Hello Jane"]


def test_the_server_and_the_secret_may_stand_in_the_environment(dragon: Dragon) -> None:
    ended = dragon_command(
        "create", "hello", "name=John", "--wait", DRAGON_URL=dragon.url, DRAGON_SECRET=SECRET
    )
    assert json.loads(ended.stdout)["result"] == "Hello John"


@pytest.mark.parametrize("mode", ["--wait", "--stream"])
def test_a_task_that_fails_ends_the_command_with_1(dragon: Dragon, mode: str) -> None:
    ended = dragon_command("create", "site.fail", mode, "--url", dragon.url, DRAGON_SECRET=SECRET)
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1])["error"] == "it cannot be done"
    key = json.loads(ended.stdout.splitlines()[-1])["key"]
    assert dragon_command("status", key, "--url", dragon.url).returncode == 1


def test_who_has_no_secret_is_asked_for_one(dragon: Dragon) -> None:
    ended = dragon_command("create", "hello", "name=John", "--url", dragon.url, DRAGON_SECRET="")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "dragon: the credentials are missing or wrong; "
        "give a secret of the account as DRAGON_SECRET\n"
    )


def test_wrong_parameters_end_the_command_with_1_at_once(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", "nome=John", *here(demo))
    assert ended.returncode == 1
    problems = json.loads(ended.stdout)["error"]["parameters"]
    assert problems["name"] == ["this field is required"]


def test_values_are_json_where_they_are_json_and_text_otherwise(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", 'name="5"', "--wait", *here(demo))
    assert json.loads(ended.stdout)["result"] == "Hello 5"
    ended = dragon_command("create", "hello", "name=a=b", "--wait", *here(demo))
    assert json.loads(ended.stdout)["result"] == "Hello a=b"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "nope"], "unknown task_name 'nope', choose one of: audio.beats,"),
        (["create", "hello", "name=J", "--secret", "no"], "the credentials are missing or wrong"),
        (["status", UNKNOWN], f"task '{UNKNOWN}' is unknown or has expired"),
        (["status", "no-key"], "task 'no-key' is unknown or has expired"),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(
    demo: Dragon, arguments: list[str], words: str
) -> None:
    ended = dragon_command(*arguments, *here(demo))
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("dragon: ")
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Commands:"),
        (["fly"], "No such command 'fly'"),
        (["create"], "Missing argument 'TASK'"),
        (["status"], "Missing argument 'KEY...'"),
        (["create", "hello", "John"], "'John' is not of the form KEY=VALUE"),
        (["create", "hello", "--url", "localhost:8080"], "'localhost:8080' is not a URL such as"),
        (["create", "hello", "--url", "http://x:abc"], "'http://x:abc' is not a URL such as"),
        (["run", "--port", "70000"], "70000 is not in the range"),
        (["run", "--servers", "0"], "0 is not in the range 1<=x<=64"),
        (["run", "--workers", "65"], "65 is not in the range 1<=x<=64"),
        (["run", "--config", "/missing.toml"], "cannot read /missing.toml"),
        (["run", "--data", "/dev/null"], "cannot use the data directory /dev/null"),
        (["serve"], "which Valkey? give --redis URL"),
        (["worker", "--redis", "redis://localhost", "--classes", "x"], "choose among fast, heavy"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(arguments: list[str], words: str) -> None:
    ended = dragon_command(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_server_here_the_command_asks_which(tmp_path: Path) -> None:
    ended = dragon_command("create", "hello", "name=John", "--data", str(tmp_path))
    assert ended.returncode == 2
    assert f"which server? none runs with the data directory {tmp_path}" in ended.stderr


@pytest.mark.parametrize(("progress", "percent"), [("3", "3%"), ('{"fraction": 0.4}', "40%")])
def test_a_terminal_sees_a_progress_bar_and_a_pipe_only_the_result(
    dragon: Dragon, tmp_path: Path, progress: str, percent: str
) -> None:
    gate = tmp_path / "gate"
    task = ("site.told_gate", f"path={gate}", f"progress={progress}")
    terminal, child_side = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "create", *task, "--wait"],
        env=environment(DRAGON_URL=dragon.url, DRAGON_SECRET=SECRET, TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=child_side,
    ) as process:
        os.close(child_side)
        seen = b""
        with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:
            while part := file.read(4096):
                seen += part
                if b"executing" in seen and re.search(rf"\b{percent}".encode(), seen):
                    gate.touch()
        assert process.stdout
        printed = process.stdout.read()
    assert process.returncode == 0
    assert json.loads(printed)["result"] == "open"
    assert gate.exists()


def test_a_server_without_valkey_says_where_it_looked_and_shows_no_password(tmp_path: Path) -> None:
    url, patience = "redis://:very-private@127.0.0.1:1/0", {"DRAGON_REDIS_TIMEOUT_SECONDS": "1"}
    command = ("serve", "--redis", url, "--data", str(tmp_path), "--port", "0")
    ended = dragon_command(*command, **patience)
    assert ended.returncode == 1
    assert "Error 111 connecting to 127.0.0.1:1. Connection refused." in ended.stderr
    assert ended.stderr.endswith("dragon: the store cannot be reached, try again soon\n")
    assert "very-private" not in ended.stderr
