"""Does several works side by side."""

from asyncio import TaskGroup
from collections.abc import Coroutine, Iterable


async def together(works: Iterable[Coroutine[None, None, None]]) -> None:
    """All at once; the first error ends the others, and is raised."""
    try:
        async with TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
