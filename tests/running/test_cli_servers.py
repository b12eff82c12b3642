"""The `dragon` command with servers that are none, or are somebody else's."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from dragon.client import Client
from dragon.errors import DragonError
from dragon.local.supervisor import _is_ready
from tests.support.commands import UNKNOWN, dragon_command, here
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS


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


@pytest.mark.parametrize(
    "answer", [b"no HTTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
def test_a_server_of_ours_that_dies_as_it_answers_is_not_ready_yet(answer: bytes) -> None:
    with server_that_says(answer, []) as url:
        assert not _is_ready(url)[0]


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
    assert b"POST /v2/create" in requests[0]
    assert b"Authorization" not in requests[0]


@contextlib.contextmanager
def server_that_keeps_silent(seconds: float) -> Iterator[tuple[str, list[bool]]]:
    """A server for one connection; tells its URL, and in the list whether the client left in time.

    To one that did not leave it says that a task has ended.
    """
    has_left: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(seconds)
                try:
                    while connection.recv(65_536):
                        pass
                    has_left.append(True)
                except TimeoutError:
                    has_left.append(False)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b'[{"status": "success"}]\n')

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", has_left
        thread.join(DEADLINE_SECONDS)


def test_a_status_that_does_not_come_is_given_up() -> None:
    with server_that_keeps_silent(DEADLINE_SECONDS) as (url, has_left):
        client = Client(url, "", answer_seconds=0.1)
        with pytest.raises(DragonError, match=f"cannot reach {url}: timed out"):
            client.status([UNKNOWN])
    assert has_left == [True]


def test_the_end_of_a_task_may_take_longer(capsys: pytest.CaptureFixture[str]) -> None:
    with server_that_keeps_silent(0.5) as (url, has_left):
        client = Client(url, "", answer_seconds=0.1)
        with pytest.raises(SystemExit) as ended:
            client.create({"task_name": "hello"}, "wait")
    assert has_left == [False]
    assert ended.value.code == 0
    assert capsys.readouterr().out == '{"status": "success"}\n'
