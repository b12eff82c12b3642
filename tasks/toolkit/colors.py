"""Colours as clients write and read them."""

from typing import Annotated

from msgspec import Meta, Struct

Color = Annotated[
    str,
    Meta(
        pattern=r"\A#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\Z",
        description="a colour such as #ff8800 or, half transparent, #ff880080",
    ),
]

CLEAR: Color = "#ffffff00"
"""Nothing; and white where a format has no alpha."""


class DominantColor(Struct, frozen=True, kw_only=True):
    """A `#rrggbb` and the share of the visible pixels that are nearer to it than to the others."""

    color: str
    share: float


def rgba(color: Color) -> list[int]:
    """Red, green, blue and alpha, 0 to 255."""
    return list(bytes.fromhex(color[1:].ljust(8, "f")))
