"""One tree of errors: each has a message fit for the person who reads it."""

from typing import Literal

from msgspec import Struct

Location = Literal["body", "query", "path", "header"]


class Problem(Struct, frozen=True):
    """One thing wrong with a request: which parameter, where it stood, what would be right."""

    name: str
    location: Location
    description: str


class DragonError(Exception):
    """The root of the tree; `message` may be shown to the client as it is."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidSettings(DragonError):
    """A setting is unknown or has a value that cannot be used; the process does not start."""

    exit_code = 2


class BadRequest(DragonError):
    """The request is malformed; carries every problem that was found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.description for problem in problems))
        self.problems = problems


class UnknownKeys(DragonError):
    """Some task keys do not exist, or have expired."""

    def __init__(self, keys: list[str]) -> None:
        super().__init__("unknown or expired: " + ", ".join(keys))
        self.keys = keys


class TooLarge(DragonError):
    """What the tasks asked for have to tell is more than one answer may hold."""


class Unauthorized(DragonError):
    """The credentials are missing or wrong, or the referrer is not listed."""


class OverLimits(DragonError):
    """The account is over one of its limits; `retry_after_seconds` from now it may try again."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Conflict(DragonError):
    """Another request came under the same idempotency key."""


class LeaseLost(DragonError):
    """The run holds its job no longer; whatever it still does is in vain."""


class FileNotFound(DragonError):
    """The task has no output file of that name; the message lists those it has."""


class UnknownDelivery(DragonError):
    """The account has no delivery of that id, or it has expired."""


class UnknownTask(DragonError):
    """There is no task of that name; the message lists those there are."""


class Unavailable(DragonError):
    """The store cannot be reached, or the server is draining; trying again later will help."""

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StorageUnavailable(Unavailable):
    """A store of files does not answer, though it was asked again and again.

    `store` is its name, "" the local disk.
    """

    def __init__(self, message: str, store: str = "") -> None:
        super().__init__(message)
        self.store = store


class StorageRefused(StorageUnavailable):
    """A store of files refuses what it is asked for, until an operator has looked after it."""


class TaskError(DragonError):
    """A task could not be done; raised by tasks and by what they call."""


class TaskFailed(TaskError):
    """Trying again cannot help: the parameters, the source or the file is at fault."""


class ProgramFailed(TaskFailed):
    """A program of `Context.run_program` ended badly; `lines` are what it complained."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.lines = lines


class TaskInterrupted(TaskError):
    """Trying again may help: a connection was lost, a source was busy, a child was killed."""
