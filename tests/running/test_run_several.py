"""`dragon run --servers 2 --workers 2`: one address, many processes, one Dragon."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from tests.support.accounts import CONFIG, SECRET
from tests.support.processes import Dragon, is_alive
from tests.support.waiting import DEADLINE_SECONDS, wait_for, wait_until

HEADERS = {"Authorization": f"Secret {SECRET}"}
SEVERAL = ("--servers", "2", "--workers", "2")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dragon]:
    with Dragon(tmp_path_factory.mktemp("several"), *SEVERAL) as several:
        yield several


def servers(dragon: Dragon) -> list[psutil.Process]:
    return dragon.find("dragon", "serve")


def connect(dragon: Dragon) -> HTTPConnection:
    return HTTPConnection(urlsplit(dragon.url).netloc, timeout=DEADLINE_SECONDS)


def connect_to(dragon: Dragon, server: psutil.Process) -> HTTPConnection:
    """A connection that the kernel gave to this very server."""

    def attempt() -> HTTPConnection | None:
        connection = connect(dragon)
        ask(connection, "GET", "/health/live")
        port = connection.sock.getsockname()[1]
        if port in {one.raddr.port for one in server.net_connections("tcp") if one.raddr}:
            return connection
        connection.close()
        return None

    return wait_for(attempt)


def ask(connection: HTTPConnection, method: str, path: str, body: object = None) -> Any:
    """The JSON of an answer that must be a 200."""
    connection.request(method, path, json.dumps(body), HEADERS)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return json.loads(content)


def create(*tasks: dict[str, object], block: bool = False) -> tuple[str, str, object]:
    return "POST", "/v1/create", {"tasks": tasks, "block": block}


def gated(path: Path, name: str = "site.gate") -> dict[str, object]:
    return {"task_name": name, "path": str(path)}


def test_every_server_answers_and_every_worker_works(several: Dragon, tmp_path: Path) -> None:
    assert len(servers(several)) == 2
    channels = set()
    for server in servers(several):
        with closing(connect_to(several, server)) as connection:
            [final] = ask(connection, *create({"task_name": "hello", "name": "you"}, block=True))
            assert final["result"] == "Hello you"
            channels.add(final["key"][:3])
    assert len(channels) == 2
    with closing(connect(several)) as connection:
        pids = {worker.pid for worker in several.find("dragon", "worker")}
        wait_until(lambda: told_workers(connection) == pids)
        # As many as two workers have slots for.
        gate = tmp_path / "gate"
        jobs = ask(connection, *create(*4 * [gated(gate, "site.heavy_gate")]))
        path = "/v1/status?" + urlencode([("tasks", job["key"]) for job in jobs])
        wait_until(lambda: states(ask(connection, "GET", path)) == ["executing"] * 4)
        gate.touch()


def told_workers(connection: HTTPConnection) -> set[int]:
    health = ask(connection, "GET", "/health/ready")
    return {int(name.split("-")[-2]) for name in health["workers"]}


def states(statuses: list[dict[str, object]]) -> list[object]:
    return [status["status"] for status in statuses]


def test_a_stream_is_the_same_through_whichever_server(several: Dragon, tmp_path: Path) -> None:
    first, second = (connect_to(several, server) for server in servers(several))
    with closing(first), closing(second):
        body = json.dumps({"tasks": [gated(tmp_path / "gate")]})
        first.request("POST", "/v1/create_stream", body, HEADERS)
        created = first.getresponse()
        [status] = json.loads(created.readline())
        second.request("GET", f"/v1/status_stream?tasks={status['key']}", headers=HEADERS)
        asked = second.getresponse()
        assert json.loads(asked.readline())[0]["key"] == status["key"]
        (tmp_path / "gate").touch()
        endings = [answer.read().splitlines()[-1] for answer in (created, asked)]
    assert json.loads(endings[0])["status"] == "success"
    assert endings[0] == endings[1]


def test_a_killed_server_comes_back_while_the_other_goes_on(tmp_path: Path) -> None:
    with Dragon(tmp_path, *SEVERAL) as dragon:
        doomed, other = servers(dragon)
        with (
            closing(connect_to(dragon, doomed)) as broken,
            closing(connect_to(dragon, other)) as whole,
        ):
            doomed.kill()
            wait_until(lambda: not is_alive(doomed))
            # Some of these are given to the one that is away, and wait for it.
            for _ in range(20):
                with closing(connect(dragon)) as connection:
                    ask(whole, *create({"task_name": "hello", "name": "you"}, block=True))
                    ask(connection, "GET", "/health/live")
            with pytest.raises((OSError, HTTPException)):
                ask(broken, "GET", "/health/live")
        [fresh] = wait_for(lambda: [one for one in servers(dragon) if one != other] or None)
        connect_to(dragon, fresh).close()
        [died] = dragon.events("process_died")
        assert (died["process"], died["code"]) == ("server-1", -signal.SIGKILL)


def test_ctrl_c_ends_them_all(tmp_path: Path) -> None:
    with Dragon(tmp_path, *SEVERAL) as dragon:
        family = dragon.family()
        assert len(servers(dragon)) == len(dragon.find("dragon", "worker")) == 2
        dragon.process.send_signal(signal.SIGINT)
        assert dragon.process.wait(DEADLINE_SECONDS) == 0
        wait_until(lambda: not any(map(is_alive, family)))


@pytest.mark.parametrize("count", ["1", "2"])
def test_who_comes_while_workers_drain_is_refused_at_once(tmp_path: Path, count: str) -> None:
    config = CONFIG.replace("drain_seconds = 1.0", "drain_seconds = 100.0")
    with Dragon(tmp_path, "--servers", count, config=config) as dragon:
        worker = dragon.worker()
        with closing(connect(dragon)) as connection:
            ask(connection, *create(gated(tmp_path / "gate")))
        wait_until(lambda: list(tmp_path.glob("gate.*.started")))
        dragon.process.send_signal(signal.SIGINT)
        wait_until(lambda: is_refused(dragon))
        assert is_alive(worker)
        (tmp_path / "gate").touch()
        assert dragon.process.wait(DEADLINE_SECONDS) == 0


def is_refused(dragon: Dragon) -> bool:
    address = urlsplit(dragon.url)
    try:
        with socket.create_connection((address.hostname, address.port or 0)):
            return False
    except ConnectionResetError:
        # It came in the very moment in which the socket was closed.
        return False
    except ConnectionRefusedError:
        return True
