"""Times in media, as clients give them."""

from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=1e7, description="a number of seconds from 0 to 10000000")]
"""A time from the start of a file."""
