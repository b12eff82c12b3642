"""One decoder child, seen from its worker: start it, ask it, notice its end, kill it."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import ExitStack, suppress
from pathlib import Path

import structlog
from msgspec import Struct, field

import dragon
from dragon.engine.isolation import messages
from dragon.engine.isolation.calls import Packet
from dragon.engine.isolation.messages import Start
from dragon.engine.isolation.tells import Listener
from dragon.errors import TaskError, TaskFailed, TaskInterrupted

log = structlog.get_logger()

START_SECONDS = 30.0
EXIT_SECONDS = 2.0
"""How long a child that closed its socket may take to be gone."""

INTERPRETER_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Without them, an interpreter that was started with them may not start again."""

PACKAGES = Path(dragon.__file__).parents[1]
"""The directory from which Dragon itself is imported."""

BASE_ENVIRONMENT = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

MAX_LOGGED_BYTES = 64 * 1024
"""Of what one child writes in all its life."""


class DecoderSettings(Struct, frozen=True, kw_only=True):
    """Each is the setting `decoder_<name>`; a `count` of 0 means one per processor, and one more.

    `warm` are the modules that children import at their start, and `environment` the variables
    that these read. A function can only be called if the top-level package of its module is among
    theirs, or is installed in site-packages.
    """

    count: int
    memory_bytes: int
    cpu_seconds: int
    max_jobs: int
    warm: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


class NotStarted(Exception):
    """The child did not become ready; its output is in the log."""


class NotDelivered(Exception):
    """The child died before it read the request, which another one may therefore serve."""


class Child:
    """A running child; made by `start`, gone for certain after `gone`."""

    def __init__(
        self,
        process: Process,
        connection: socket.socket,
        output: int,
        settings: DecoderSettings,
    ) -> None:
        self.pid = process.pid
        self.served = 0
        self.retired = False
        """Set for the last call, if there is one: nobody gets the child after it."""
        self.confinement: dict[str, str] = {}
        self.spent = asyncio.Event()
        """Set when the child is dead or has served enough: time for another one."""
        self._process = process
        self._connection = connection
        self._settings = settings
        self._output = output
        self._output_left = MAX_LOGGED_BYTES
        self._killed = False
        self._gone = asyncio.Event()
        self._answer: asyncio.Future[bytes] | None = None
        self._listener: Listener | None = None

    @classmethod
    async def start(cls, settings: DecoderSettings, tasks: asyncio.TaskGroup) -> "Child":
        """A child that is ready for calls; one of `tasks` sees it to its end.

        Raises NotStarted, or an OSError where the system has not what it needs.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            connection, child_connection = _connection()
            ours.callback(connection.close)
            theirs.callback(child_connection.close)
            output, child_output = _pipe()
            ours.callback(os.close, output)
            theirs.callback(os.close, child_output)
            process = await _spawn(child_connection.fileno(), child_output, settings)
            child = cls(process, connection, output, settings)
            tasks.create_task(child._watch(ours.pop_all()))
        try:
            await child._become_ready()
        except BaseException:
            child.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        return not self._killed and self._process.returncode is None

    async def ask(self, packet: Packet, timeout_seconds: float) -> bytes:
        """Send a request, return the answer.

        Raises NotDelivered, TaskFailed or TaskInterrupted as the child's end deserves, or what
        the packet's `on_told` raises. Then, on the deadline, and when cancelled, the child is
        killed: nothing else would stop a decoder.
        """
        self.served += 1
        self._listener = Listener(packet.on_told) if packet.on_told else None
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._exchange(packet.message, packet.descriptors)
                if not answer:
                    raise await self._died()
        except TimeoutError:
            raise TaskFailed(f"decoding took longer than {timeout_seconds:g} seconds") from None
        finally:
            if self._answer is not None:
                self.kill()
        if self.served >= self._settings.max_jobs:
            self.spent.set()
        return answer

    def kill(self) -> None:
        """Kill the child with all that it may have started."""
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Wait until the child is dead and all that belonged to it is closed."""
        await self._gone.wait()

    async def _become_ready(self) -> None:
        start = Start(
            parent_pid=os.getpid(),
            memory_bytes=self._settings.memory_bytes,
            cpu_seconds=self._settings.cpu_seconds,
            warm=self._settings.warm,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                answer = await self._exchange(messages.encode(start), [])
            self.confinement = messages.decode_ready(answer).confinement
        except TimeoutError:
            raise NotStarted(f"not ready within {START_SECONDS:g} seconds") from None
        except (NotDelivered, *messages.UNREADABLE):
            raise NotStarted("it ended before it was ready") from None

    async def _exchange(self, message: bytes, descriptors: list[int]) -> bytes:
        """The answer, or nothing if the child is closed; `_answer` stays set if that is left."""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(self._connection, [message], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            raise NotDelivered from None
        answer = await self._answer
        if answer:
            self._answer = None
        return answer

    def _on_readable(self) -> None:
        """Descriptors that come along are closed by the kernel, as there is no room for them."""
        try:
            answer = self._connection.recv(messages.MAX_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            answer = None
        if not answer:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
        if self._answer is None or self._answer.done():
            self.kill()  # it spoke, or closed, without being asked
        elif answer is None:
            # Linux says so only if a packet was left unread, which was the request.
            self._answer.set_exception(NotDelivered())
        else:
            self._hear(answer, self._answer)

    def _hear(self, message: bytes, answer: asyncio.Future[bytes]) -> None:
        """Of what is told without being asked for, nothing is taken for more than garbage."""
        try:
            if not (self._listener and self._listener.hears(message)):
                answer.set_result(message)
        except Exception as error:
            answer.set_exception(error)

    async def _died(self) -> TaskError:
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            return TaskFailed("the file crashed its decoder (connection closed)")
        return self._reason(code)

    def _reason(self, code: int) -> TaskError:
        if code == -signal.SIGKILL:
            return TaskInterrupted("the decoder of the file was killed")
        if code == -signal.SIGPROF:
            seconds = self._settings.cpu_seconds
            return TaskFailed(
                f"decoding took more processor time than decoder_cpu_seconds = {seconds}"
            )
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return TaskFailed(f"the file crashed its decoder ({name})")

    async def _watch(self, resources: ExitStack) -> None:
        loop = asyncio.get_running_loop()
        with resources:
            loop.add_reader(self._connection.fileno(), self._on_readable)
            loop.add_reader(self._output, self._on_output)
            code = await self._process.wait()
            loop.remove_reader(self._connection.fileno())
            self._on_output()
            loop.remove_reader(self._output)
        if not self._killed:
            log.warning("decoder_died", pid=self.pid, code=code, served=self.served)
        self.kill()  # what it may have started
        self._gone.set()
        self.spent.set()

    def _on_output(self) -> None:
        try:
            written = os.read(self._output, 16 * 1024)
        except BlockingIOError:
            return
        if not written:
            asyncio.get_running_loop().remove_reader(self._output)
        elif self._output_left > 0:
            text = written[: self._output_left].decode("utf-8", "replace")
            log.warning("decoder_wrote", pid=self.pid, text=text)
        self._output_left -= len(written)


def _connection() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * messages.MAX_MESSAGE_BYTES)
    ours.setblocking(False)
    return ours, theirs


def _pipe() -> tuple[int, int]:
    """A pipe of our own: with one of asyncio's, a child is not seen to end while it is open."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


async def _spawn(connection: int, output: int, settings: DecoderSettings) -> Process:
    """Start the child in a session of its own: its group can be killed from the first moment."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-s", "-P", "-X", "faulthandler"),
        *("-m", "dragon.engine.isolation.child", str(connection)),
        stdin=DEVNULL,
        stdout=output,
        stderr=STDOUT,
        pass_fds=(connection,),
        start_new_session=True,
        # What else the worker's own environment holds, secrets too, stays with it.
        env=settings.environment | BASE_ENVIRONMENT | interpreter_environment(),
    )


def interpreter_environment() -> dict[str, str]:
    """What lets another interpreter import all that this one can."""
    variables = {name: os.environ[name] for name in INTERPRETER_VARIABLES if name in os.environ}
    return {
        **variables,
        "PYTHONDONTWRITEBYTECODE": "1",
        # Of an editable installation the last is not among the others.
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, [*sys.path, str(PACKAGES)])),
    }
