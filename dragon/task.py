"""What the author of a task uses: Params, Result, File, Context, @task."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar, get_type_hints

from msgspec import Meta, Struct

from dragon.errors import ProgramFailed, TaskError, TaskFailed, TaskInterrupted
from dragon.schemas import Kind

__all__ = [
    "Catalogue",
    "ChildResult",
    "Context",
    "Descriptor",
    "File",
    "Files",
    "HttpUrl",
    "KeptFile",
    "Media",
    "MediaLimits",
    "Params",
    "Pixels",
    "ProgramFailed",
    "Result",
    "Source",
    "SourceUrl",
    "TaskError",
    "TaskFailed",
    "TaskInterrupted",
    "TaskType",
    "Tell",
    "task",
]

Problems = dict[str, list[str]]
"""By parameter."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

HttpUrl = Annotated[
    str,
    Meta(
        pattern=r"\A[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\x00-\x1f\x7f][^\x00-\x1f\x7f]*\Z",
        max_length=8192,
        description="an http or https URL of at most 8192 characters",
    ),
]
"""An address on the web."""

SourceUrl = Annotated[
    str,
    Meta(
        pattern=r"\A(?:[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\x00-\x1f\x7f][^\x00-\x1f\x7f]*"
        r"|dragon:[A-Z2-7]{26}/[A-Za-z0-9_.-]{1,100}"
        r"|(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,254}/[^\x00-\x1f\x7f]+)\Z",
        max_length=8192,
        description="an http or https URL of at most 8192 characters, "
        "dragon:KEY/FILE, a file that another task made, "
        "or s3://BUCKET/KEY in a store of this server",
    ),
]
"""Where a source is: for `Context.fetch`."""

Pixels = Annotated[
    int,
    Meta(ge=1, le=16_383, description="a whole number of pixels from 1 to 16383"),
]
"""A width or height; 16383 is the most that WebP can hold."""

Descriptor = int
"""In a function run by `Context.isolated`: the open file a Source or File argument became."""

Tell = Callable[[Any], None]
"""In such a function: what a callable among the arguments became, such as `Context.progress`.

What it is told, JSON of at most 1 KiB, the callable gets: ten times a second at most, the newest.
"""


RESERVED_NAMES = frozenset(
    ("secret", "api_key", "account", "expires", "signature", "wait", "fallback", "error")
)
"""What a URL of create_file says besides the parameters of a task, none of which is called so."""


class Params(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a task; subclass it. Every task takes these two."""

    url_callback: HttpUrl | None = None
    url_errback: HttpUrl | None = None


class Result(Struct, frozen=True, kw_only=True):
    """The values and files a task makes; subclass it. Clients get one flat object."""


class Source(Struct, frozen=True, kw_only=True):
    """A file that was fetched: whence, and where it lies for the time of the run. Only read it.

    `url` is as it was asked for, `location` where it was found after all redirects, and
    `content_type` the header of that name, ASCII; both are empty for what came not over HTTP.
    """

    url: str
    path: Path
    size: int
    location: str = ""
    content_type: str = ""


class File(Struct, frozen=True, kw_only=True):
    """A file that the task writes at `path`; returned in a Result, it is kept and gets a URL."""

    name: str
    filename: str
    content_type: str
    path: Path


class Files(Struct, frozen=True, kw_only=True):
    """Several files whose names the parameters choose; in a Result each stands under its name."""

    files: tuple[File, ...]


class Media(Struct, frozen=True):
    """What a File in a Result may be, for clients: `Annotated[File, Media("image/*")]`.

    Several types have commas between them.
    """

    types: str


class KeptFile(Struct, frozen=True, kw_only=True):
    """A file that a child made; its `url` is a source for other tasks: `dragon:<key>/<file>`."""

    url: str
    filename: str
    content_type: str
    size: int


class ChildResult(Struct, frozen=True, kw_only=True):
    """How a child ended: its result as clients see it, and its files by name."""

    key: str
    value: Any
    files: dict[str, KeptFile]


class MediaLimits(Struct, frozen=True, kw_only=True):
    """How much a source may unfold to. Each is the setting of the same name, and its default."""

    max_pixels: int = 100_000_000
    max_frames: int = 2_000
    max_streams: int = 32
    max_duration_seconds: int = 14_400
    max_video_frames: int = 1_000_000
    max_video_pixels: int = 2_000_000_000_000
    max_page_bytes: int = 10 * 1024 * 1024


class Context(Protocol):
    """What a running task may do besides computing."""

    limits: MediaLimits

    async def fetch(self, url: str, *, is_media: bool = False) -> Source:
        """Download `url` into the run's own directory; audio and video may be larger than others.

        `dragon:<key>/<file>`, a file that another task of the account made, is not copied: the
        source's path is where it is kept. Raises TaskFailed (refused, not found, too large, too
        slow) or TaskInterrupted.
        """

    def output(self, name: str, content_type: str) -> File:
        """A new output file, to be written at its `path` and returned in the Result."""

    def progress(self, value: Any) -> None:
        """Tell whoever waits how far the run is: anything JSON; the newest wins."""

    async def partial(self, result: Any) -> None:
        """Tell a result that is not yet whole, until the next; its files are kept and served."""

    async def run(
        self, task_name: str, /, on_progress: Callable[[Any], None] | None = None, **params: Any
    ) -> ChildResult:
        """Run another task as a job of its own, on any worker; for tasks of class "flow" only.

        A job that runs again, as its worker was lost, finds the children that it asked for with
        the same parameters before. They end with it, however it ends. `on_progress` gets the
        newest progress of the child. Raises TaskFailed with the child's words if it failed.
        """

    async def isolated(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a plain function of a module in a confined child process, away from the network.

        Arguments and result travel as MessagePack, by the function's annotations; a Source or
        File argument arrives as an open Descriptor, and a callable, of which there may be one, as
        a Tell, by which the function says how far it is. Raises what the function raises as
        TaskFailed, TaskFailed if the child crashes, TaskInterrupted if somebody killed it.
        """

    async def run_program(
        self,
        arguments: Sequence[str | Source | File],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Run ffmpeg, confined, in the run's own directory, which it alone can write.

        The first argument is the word "ffmpeg"; a Source or File becomes its absolute path, and
        a Source may be read wherever it lies. `on_line` gets what it prints, line by line.
        Raises ProgramFailed with its last complaints, TaskFailed where a limit was hit,
        TaskInterrupted if it was killed or the disk is full.
        """


class TaskType(Struct, frozen=True, kw_only=True):
    """An implementation, as the registry knows it."""

    name: str
    kind: Kind
    timeout_seconds: float
    summary: str
    params: type[Params]
    result: Any
    function: Callable[[Any, Context], Awaitable[Any]]
    check: "Check | None" = None


class Catalogue(Protocol):
    """The tasks that there are, for those whose parameters name others."""

    def __iter__(self) -> Iterator[TaskType]: ...

    def get(self, name: str) -> TaskType | None: ...

    def problems(self, task: TaskType, values: Mapping[str, Any]) -> Problems:
        """What is wrong with parameters of a task."""


Check = Callable[[Any, Catalogue], Problems]
"""What is wrong with parameters that are right by their types."""


def task(
    name: str, *, kind: Kind = "fast", timeout_seconds: float = 60, check: Check | None = None
) -> Callable[[F], F]:
    """Mark `async def f(params: SomeParams, ctx: Context) -> SomeResult` as the task `name`.

    The function is returned as it was. Its module's docstring, after `name:`, is the summary.
    `check(params, catalogue)` may find problems that types cannot, before the job is queued.
    """

    def mark(function: F) -> F:
        hints = get_type_hints(function)
        document = inspect.getdoc(inspect.getmodule(function)) or ""
        function.__dragon_task__ = TaskType(  # type: ignore[attr-defined]
            name=name,
            kind=kind,
            timeout_seconds=timeout_seconds,
            summary=document.partition("\n")[0].removeprefix(f"{name}: "),
            params=hints["params"],
            result=hints["return"],
            function=function,
            check=check,
        )
        return function

    return mark
