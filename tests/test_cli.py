"""The `dragon` command as a person uses it: words, exit codes, credentials, a first thumbnail."""

import contextlib
import json
import os
import pty
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import pyvips

from tests.support import DEADLINE_SECONDS, ROOT, SECRET, Dragon

COMMAND = [sys.executable, "-m", "dragon"]
UNKNOWN = "A" * 26


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    """A Dragon as it comes: without a configuration."""
    with Dragon(tmp_path_factory.mktemp("demo"), config=None) as demo:
        yield demo


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def dragon_command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def here(dragon: Dragon) -> tuple[str, str]:
    return "--data", str(dragon.data)


def credentials(dragon: Dragon) -> tuple[str, str]:
    """The secret and the api key that a start printed."""
    match = re.search(r"secret +(\S+)\n +api key +(\S+)", "\n".join(dragon.output))
    assert match
    return match[1], match[2]


def test_help_names_every_command() -> None:
    ended = dragon_command("--help")
    assert ended.returncode == 0
    for command in ("run", "serve", "worker", "create", "status"):
        assert re.search(rf"^  {command} +[A-Z]", ended.stdout, re.M), command
        assert dragon_command(command, "--help").returncode == 0


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


def created_key(dragon: Dragon, name: str) -> str:
    """The key of a task that has ended."""
    ended = dragon_command("create", "hello", f"name={name}", "--wait", *here(dragon))
    key = json.loads(ended.stdout)["key"]
    assert isinstance(key, str)
    return key


def test_the_server_and_the_secret_may_stand_in_the_environment(dragon: Dragon) -> None:
    ended = dragon_command(
        "create", "hello", "name=John", "--wait", DRAGON_URL=dragon.url, DRAGON_SECRET=SECRET
    )
    assert json.loads(ended.stdout)["result"] == "Hello John"


@pytest.mark.parametrize("mode", ["--wait", "--stream"])
def test_a_task_that_fails_ends_the_command_with_1(dragon: Dragon, mode: str) -> None:
    ended = dragon_command("create", "site.fail", mode, "--url", dragon.url, DRAGON_SECRET=SECRET)
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1])["result"] == "it cannot be done"
    key = json.loads(ended.stdout.splitlines()[-1])["key"]
    assert dragon_command("status", key, "--url", dragon.url).returncode == 1


def test_wrong_parameters_end_the_command_with_1_at_once(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", "nome=John", *here(demo))
    assert ended.returncode == 1
    assert "name: this field is required" in json.loads(ended.stdout)["result"]


def test_values_are_json_where_they_are_json_and_text_otherwise(demo: Dragon) -> None:
    ended = dragon_command("create", "hello", 'name="5"', "--wait", *here(demo))
    assert json.loads(ended.stdout)["result"] == "Hello 5"
    ended = dragon_command("create", "hello", "name=a=b", "--wait", *here(demo))
    assert json.loads(ended.stdout)["result"] == "Hello a=b"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "nope"], "unknown task_name 'nope', choose one of: hello,"),
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


@contextlib.contextmanager
def server_that_says(answer: bytes, requests: list[bytes]) -> Iterator[str]:
    """A server for one connection that answers with these bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                requests.append(connection.recv(65_536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(DEADLINE_SECONDS)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "cannot reach"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", "does not answer in JSON"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[", "the connection to"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "the server answered 502"),
    ],
)
def test_a_server_that_is_no_dragon_is_told_in_one_line(answer: bytes, words: str) -> None:
    with server_that_says(answer, []) as url:
        ended = dragon_command("status", UNKNOWN, "--url", url)
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert words in line


def test_a_server_that_cannot_be_reached_is_told_in_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        ended = dragon_command("create", "hello", "name=John", "--url", url)
    assert ended.returncode == 1
    assert ended.stderr == f"dragon: cannot reach {url}: Connection refused\n"


def test_the_secret_of_the_dragon_here_goes_to_no_other_server(demo: Dragon) -> None:
    requests: list[bytes] = []
    with server_that_says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", requests) as url:
        dragon_command("create", "hello", "name=John", "--url", url, *here(demo))
    assert b"POST /v1/create" in requests[0]
    assert b"Authorization" not in requests[0]


def test_a_terminal_sees_a_progress_bar_and_a_pipe_only_the_result(dragon: Dragon) -> None:
    terminal, child_side = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "create", "site.steps", "steps=5", "--wait"],
        env=environment(DRAGON_URL=dragon.url, DRAGON_SECRET=SECRET, TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=child_side,
    ) as process:
        os.close(child_side)
        seen = read_terminal(terminal)
        assert process.stdout
        printed = process.stdout.read()
    assert process.returncode == 0
    assert json.loads(printed)["result"] == 5
    assert "executing" in seen
    assert re.search(r"\b[0-4]%", seen)


def read_terminal(terminal: int) -> str:
    """All that is written until the other side closes."""
    seen = b""
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as file:
        while part := file.read(4096):
            seen += part
    return seen.decode()


def test_the_printed_command_makes_a_thumbnail(demo: Dragon, tmp_path: Path) -> None:
    [line] = [line for line in demo.output if "curl" in line]
    subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True, timeout=DEADLINE_SECONDS)
    picture = pyvips.Image.new_from_file(str(tmp_path / "thumb.jpg"))
    assert (picture.get("vips-loader"), picture.width) == ("jpegload", 200)


def test_a_second_start_keeps_the_credentials_and_the_tasks(tmp_path: Path) -> None:
    with Dragon(tmp_path, config=None) as first:
        kept = credentials(first)
        key = created_key(first, "John")
    with Dragon(tmp_path, config=None) as second:
        assert credentials(second) == kept
        ended = dragon_command("status", key, *here(second))
        assert json.loads(ended.stdout)["result"] == "Hello John"


def test_only_the_owner_may_read_the_files_with_the_credentials(demo: Dragon) -> None:
    for name in ("demo.json", "running.json"):
        assert (demo.data / name).stat().st_mode & 0o777 == 0o600


def test_a_data_directory_serves_one_dragon_at_a_time(demo: Dragon) -> None:
    ended = dragon_command("run", "--port", "0", *here(demo))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"dragon: another `dragon run` uses the data directory {demo.data}\n"
    assert dragon_command("create", "hello", "name=John", "--wait", *here(demo)).returncode == 0


def test_a_taken_port_is_told_in_one_line(demo: Dragon, tmp_path: Path) -> None:
    port = str(urlsplit(demo.url).port)
    ended = dragon_command("run", "--port", port, "--data", str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    words = f"dragon: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert ended.stderr == words


def test_credentials_are_on_no_command_line_and_in_no_log(demo: Dragon) -> None:
    secret, api_key = credentials(demo)
    for name, value in (("secret", secret), ("api_key", api_key)):
        query = urlencode({"task_name": "hello", "name": "John", name: value})
        assert ask(demo, f"/v1/create_file/x?{query}", Referer="http://localhost/") == 404
        assert ask(demo, f"/v1/status?tasks={UNKNOWN}&{name}={value}") == 404
        assert ask(demo, f"/nothing?{name}={value}") == 404
    assert demo.decoders()
    for process in demo.family():
        assert not {secret, api_key} & set(re.split(r"[\s=\"]", " ".join(process.cmdline())))
    for path in files_below(demo.data):
        content = path.read_bytes()
        if secret.encode() in content or api_key.encode() in content:
            assert path.name in ("demo.json", "running.json"), path


def ask(dragon: Dragon, path: str, **headers: str) -> int:
    connection = HTTPConnection(urlsplit(dragon.url).netloc, timeout=DEADLINE_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_data_directory_may_have_any_length_and_blanks(tmp_path: Path) -> None:
    data = tmp_path / ("a long name " * 12) / "data"
    before = set(Path(tempfile.gettempdir()).glob("dragon-*"))
    with Dragon(data, config=None) as dragon:
        sockets = set(Path(tempfile.gettempdir()).glob("dragon-*")) - before
        ended = dragon_command("create", "hello", "name=John", "--wait", *here(dragon))
        assert json.loads(ended.stdout)["result"] == "Hello John"
    assert sockets
    assert not any(path.exists() for path in sockets)


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_ipv6_as_well(tmp_path: Path) -> None:
    with Dragon(tmp_path, "--host", "::1", config=None) as dragon:
        assert dragon.url.startswith("http://[::1]:")
        ended = dragon_command(
            "create", "image.thumb", f"url={dragon.url}/static/sample.jpg", "width=20", "--wait",
            *here(dragon),
        )  # fmt: skip
        assert json.loads(ended.stdout)["result"]["width"] == 20
