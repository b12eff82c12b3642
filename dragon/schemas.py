"""The words of the system as structs, with their codecs."""

import re
import secrets
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

State = Literal["queued", "executing", "success", "error"]
Kind = Literal["fast", "heavy", "flow", "record", "hook"]

KINDS: tuple[Kind, ...] = get_args(Kind)
SIGNED = "signed"
"""The store of files that went to an address which the client signed."""
KEY_LENGTH = 26
CHANNEL_LENGTH = 3

_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_DIGITS = _BASE32 * 8
_LAST_DIGITS = _BASE32[::4] * 32
"""25 digits hold 125 of the 128 bits, the last one the other 3."""


def new_key(channel: str = "") -> str:
    """A task key: 26 characters of base32 of 128 random bits, starting with `channel` if given.

    The first characters of a key name the pub/sub channel of its job, so that the server process
    that creates a job already listens to it; each process draws its own channel at random.
    """
    rest = secrets.token_bytes(KEY_LENGTH - len(channel))
    return channel + (rest[:-1].translate(_DIGITS) + rest[-1:].translate(_LAST_DIGITS)).decode()


_KEY = re.compile(r"\A[A-Z2-7]{26}\Z")

Key = Annotated[str, Meta(pattern=_KEY.pattern, description="the key of a task")]


def is_key(text: str) -> bool:
    """Whether a text has the form of a task key."""
    return _KEY.match(text) is not None


Time = Annotated[
    str,
    Meta(
        description="ISO 8601, UTC, microseconds",
        extra_json_schema={"format": "date-time"},
    ),
]


class Events(Struct, frozen=True, kw_only=True):
    """When a task reached each step."""

    queued: Time
    started: Time | UnsetType = UNSET
    completed: Time | UnsetType = UNSET


class WrongParameters(Struct, frozen=True, kw_only=True):
    """What is wrong with the parameters of a task, by their names."""

    parameters: dict[str, list[str]]

    def __str__(self) -> str:
        return "; ".join(
            f"{name}: {problem}"
            for name, problems in self.parameters.items()
            for problem in problems
        )


class Status(Struct, frozen=True, kw_only=True):
    """How far a task is. A `result` comes with success, or as a partial one with executing."""

    status: State
    key: Key
    progress: Any = UNSET
    result: Any = UNSET
    error: str | WrongParameters | UnsetType = UNSET
    events: Events


LINKING_TYPES = frozenset({"application/vnd.apple.mpegurl", "text/vtt"})
"""Of files that name others, as these lie at `/files`: elsewhere they would lead nowhere."""


class OutputFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file that a job made.

    `store` names the store of the settings that holds it, "" is the local disk, and `path` is where
    it lies there. With `signed` its client holds it, and `path` is the URL without its signature.
    """

    name: str
    filename: str
    content_type: str
    path: str
    size: int
    store: str = ""
    deleted: bool = False
    """By its account, before its time was over."""


class Ticket(Struct, frozen=True, kw_only=True):
    """What there is to know of a job but its input, which may be large."""

    key: str
    task: str
    kind: Kind
    account: str
    queued: str


class Job(Ticket, frozen=True, kw_only=True):
    """One queued run of a task, as the store keeps it and a worker receives it."""

    params: msgspec.Raw
    metas: msgspec.Raw = msgspec.Raw(b"null")
    """As they are encoded: a million values in them would take twenty times the memory."""
    base_url: str
    timeout_seconds: float
    attempts: int
    retention_seconds: int
    store: str = "persistent"
    """The type of storage that was asked for."""
    store_url: str = ""
    """Of type s3_signed: where to PUT the file. Who has it may write there: it is never told."""
    depth: int = 0
    """How many jobs stand above it: 1 for the child of one that a client created."""


class HookParams(Struct, frozen=True, kw_only=True):
    """What a job of class `hook` delivers: the final status of which job, and where to."""

    task: str
    event: State
    url: str


HOOK_TASK = "webhook"
"""The name that deliveries have in place of a task's."""


class Claim(Struct, frozen=True, kw_only=True, eq=False):
    """A job handed to one worker: `token` fences its writes, `attempt` counts from 1."""

    job: Job
    token: int
    attempt: int
    started: str


class Reaped(NamedTuple):
    """Keys of jobs: promoted after a pause; with a worker that is silent; requeued or failed, as
    it is lost."""

    promoted: list[str]
    silent: list[str]
    requeued: list[str]
    failed: list[str]


class Update(Struct, frozen=True):
    """One version of a job's status, encoded once; the store, the feed and streams pass it on."""

    key: str
    version: int
    state: State
    line: bytes

    @property
    def is_final(self) -> bool:
        return self.state in ("success", "error")


class Record(Struct, frozen=True, kw_only=True):
    """What the store keeps of a job and its outcome."""

    update: Update
    job: Ticket
    files: tuple[OutputFile, ...]
    deleted: tuple[OutputFile, ...] = ()
    """Files that it had once."""
    expires: float
    attempt: int = 0


def file_path(key: str, filename: str) -> str:
    """Where a job's file is served, below the address of any server."""
    return f"/files/{key}/{quote(filename)}"


def find_file(files: Iterable[OutputFile], name: str) -> OutputFile | None:
    """The one that a name selects, with or without its extension."""
    return next((file for file in files if name in (file.filename, file.name)), None)


encode = msgspec.json.Encoder().encode
decode_status = msgspec.json.Decoder(Status).decode
decode_ticket = msgspec.json.Decoder(Ticket).decode
decode_job = msgspec.json.Decoder(Job).decode
decode_files = msgspec.json.Decoder(tuple[OutputFile, ...]).decode


class Dispatch(NamedTuple):
    """Jobs that the store sent to a worker unasked; `number` is that of its offer."""

    number: int
    claims: list[Claim]


def decode_claims(packed: bytes) -> list[Claim]:
    """What a worker got, as the store's scripts pack it."""
    return [_claim(*parts) for parts in _decode_claims(packed)]


def decode_dispatch(packed: bytes) -> Dispatch:
    number, claims = _decode_dispatch(packed)
    return Dispatch(number, [_claim(*parts) for parts in claims])


_Packed = tuple[str, int, int, str]
_decode_claims = msgspec.msgpack.Decoder(list[_Packed]).decode
_decode_dispatch = msgspec.msgpack.Decoder(tuple[int, list[_Packed]]).decode


def _claim(job: str, token: int, attempt: int, started: str) -> Claim:
    return Claim(job=decode_job(job), token=token, attempt=attempt, started=started)
