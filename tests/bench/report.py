"""Prints what was measured: a table for each part, and its ratios."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.bench.load import Load


class Part(Struct, frozen=True, kw_only=True):
    """One table: the first column says what, the others are numbers as text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    ratios: dict[str, float] = {}
    notes: tuple[str, ...] = ()


def print_head(console: Console, log_level: str) -> None:
    """The machine, and what disturbs the numbers."""
    console.print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f} at the start, "
        f"Dragon logs at level {log_level}, all on 127.0.0.1",
        highlight=False,
    )


def print_part(console: Console, part: Part) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(part.columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in part.rows:
        table.add_row(*row)
    console.print(f"\n[bold]{part.title}[/bold]", highlight=False)
    console.print(table)
    for name, ratio in part.ratios.items():
        console.print(f"{name} = {ratio:.2f}", highlight=False)
    for note in part.notes:
        console.print(f"({note})", highlight=False)


LOAD_COLUMNS = ("", "a second", "least to most", "p50 ms", "p99 ms", "generator's CPU")


def load_rows(loads: Mapping[str, Sequence[Load]]) -> list[tuple[str, ...]]:
    """A row for each server: medians over the rounds."""
    return [(name, *_load_cells(rounds)) for name, rounds in loads.items()]


def median_per_second(rounds: Sequence[Load]) -> float:
    return statistics.median(load.per_second for load in rounds)


def rate_cells(rates: Sequence[float]) -> tuple[str, str]:
    """The median, and the least and the most."""
    digits = 0 if max(rates) >= 100 else 1
    low, middle, high = (
        f"{rate:,.{digits}f}" for rate in (min(rates), statistics.median(rates), max(rates))
    )
    return middle, f"{low} to {high}"


def _load_cells(rounds: Sequence[Load]) -> tuple[str, ...]:
    return (
        *rate_cells([load.per_second for load in rounds]),
        f"{statistics.median(load.p50_ms for load in rounds):.2f}",
        f"{statistics.median(load.p99_ms for load in rounds):.2f}",
        f"{statistics.median(load.generator_cpu for load in rounds):.0%}",
    )
