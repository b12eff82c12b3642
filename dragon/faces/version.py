"""What tells the versions of the Dragon tasks API apart; all else they share."""

from collections.abc import Callable

from msgspec import Struct

from dragon.schemas import Job, Record, Update


class Version(Struct, frozen=True, kw_only=True):
    """One version. `path` begins its routes, `translate` words a status as it does."""

    path: str
    status: type[Struct]
    """What `translate` gives, encoded."""
    translate: Callable[[Update], bytes]
    detailed_status: type[Struct] | None = None
    detail: Callable[[Record, Job], bytes] | None = None
    """A status with details, where clients may ask for them."""
    has_partial_files: bool = False
    """Whether the file methods answer as soon as a partial result holds the file."""
