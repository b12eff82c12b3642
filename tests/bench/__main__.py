"""`make bench`: every part in turn, each on a Dragon of its own; `--quick` only shows it works."""

import argparse
import resource
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench.encodes import measure_encodes
from tests.bench.events import measure_events
from tests.bench.frames import measure_frames
from tests.bench.hello import measure_hello, measure_many
from tests.bench.idle import measure_idle
from tests.bench.plan import Plan
from tests.bench.report import Part, print_head, print_part
from tests.bench.scaling import measure_scaling
from tests.bench.streams import measure_streams
from tests.bench.thumbs import measure_reuse, measure_thumbs

PARTS: dict[str, Callable[[Plan], Awaitable[list[Part]]]] = {
    "hello": measure_hello,
    "many": measure_many,
    "scaling": measure_scaling,
    "thumbs": measure_thumbs,
    "reuse": measure_reuse,
    "frames": measure_frames,
    "convert": measure_encodes,
    "streams": measure_streams,
    "events": measure_events,
    "idle": measure_idle,
}


def main() -> None:
    options = _options()
    _raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="dragon-bench-") as directory:
        make_plan = Plan.quick if options.quick else _full
        plan = make_plan(Path(directory), options.log_level)
        uvloop.run(_measure(plan, [options.only] if options.only else list(PARTS)))


async def _measure(plan: Plan, names: list[str]) -> None:
    console = Console(width=110)
    print_head(console, plan.log_level)
    for name in names:
        for part in await PARTS[name](plan):
            print_part(console, part)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute in all, rough numbers")
    parser.add_argument("--only", choices=PARTS, help="just one part")
    parser.add_argument("--log-level", default="warning", choices=["info", "warning"])
    return parser.parse_args()


def _full(directory: Path, log_level: str) -> Plan:
    return Plan(directory=directory, log_level=log_level)


def _raise_file_limit() -> None:
    """A stream needs a descriptor here and one in the server, which inherits the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
