"""More servers and workers: the rate, and the processor time that each kind of process takes."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from msgspec import Struct

from tests.bench.hello import create_target
from tests.bench.load import load
from tests.bench.plan import MeasuredDragon, Plan
from tests.bench.processes import cpu_seconds, process_name
from tests.bench.report import Part, rate_cells

CONNECTIONS = 64
KINDS = {"server": ("dragon serve",), "worker": ("dragon worker", "decoder"), "Valkey": ("valkey",)}


class Shape(Struct, frozen=True):
    """How many processes of a kind; `is_apart` if they have one core and the generator others."""

    servers: int
    workers: int
    is_apart: bool = False

    def __str__(self) -> str:
        place = "one core" if self.is_apart else "all cores"
        return f"{self.servers} + {self.workers} on {place}"


SHAPES = (Shape(1, 1, is_apart=True), Shape(1, 1), Shape(2, 1), Shape(2, 2))


class Sample(Struct, frozen=True, kw_only=True):
    """One load: tasks a second, and microseconds of processor time a task, by kind of process.

    `servers` has those of each server, which tells how the connections are spread.
    """

    per_second: float
    kinds: dict[str, float]
    servers: list[float]
    generator: float

    @property
    def dragon(self) -> float:
        """Of all processes of the Dragon."""
        return sum(self.kinds.values())


async def measure_scaling(plan: Plan) -> list[Part]:
    """`create` with `block`, on Dragons of several shapes in turn."""
    all_cores = sorted(os.sched_getaffinity(0))
    shapes = [shape for shape in SHAPES if len(all_cores) > 1 or not shape.is_apart]
    samples: dict[Shape, list[Sample]] = {shape: [] for shape in shapes}
    with ExitStack() as stack:
        dragons = {}
        for shape in shapes:
            with _on_cores(all_cores[:1] if shape.is_apart else all_cores):
                dragons[shape] = stack.enter_context(_start(plan, shape))
        # The first round is for servers that come up a moment after the first.
        for number in range(plan.rounds + 1):
            for shape, dragon in dragons.items():
                with _on_cores(all_cores[1:] if shape.is_apart else all_cores):
                    sample = await _measure(dragon, plan.seconds)
                if number:
                    samples[shape].append(sample)
    return [
        Part(
            title=f"hello with block, {CONNECTIONS} connections: servers + workers",
            columns=(
                "", "a second", "least to most", *KINDS, "all", "generator", "bound", "each server",
            ),
            rows=[_row(shape, rounds, len(all_cores)) for shape, rounds in samples.items()],
            notes=(
                "columns from server on, but the bound: µs of processor time a task",
                "bound: tasks a second if the cores did nothing else; "
                "on all cores the generator has its part of them",
            ),
        )
    ]  # fmt: skip


def _start(plan: Plan, shape: Shape) -> MeasuredDragon:
    counts = ("--servers", str(shape.servers), "--workers", str(shape.workers))
    return plan.dragon(str(shape).replace(" ", "-"), *counts)


@contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
    """For this process and for those that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _measure(dragon: MeasuredDragon, seconds: float) -> Sample:
    family = {process: process_name(process) for process in dragon.family()}
    before = {process: cpu_seconds(process) for process in family}
    generator_before = time.process_time()
    done = await load(create_target(dragon.port), CONNECTIONS, seconds)
    generator = time.process_time() - generator_before
    micros = {
        process: (cpu_seconds(process) - cpu) / done.answers * 1e6
        for process, cpu in before.items()
    }

    def of(names: Sequence[str]) -> list[float]:
        return [cpu for process, cpu in micros.items() if family[process] in names]

    return Sample(
        per_second=done.per_second,
        kinds={kind: sum(of(names)) for kind, names in KINDS.items()},
        servers=of(KINDS["server"]),
        generator=generator / done.answers * 1e6,
    )


def _row(shape: Shape, rounds: Sequence[Sample], cores: int) -> tuple[str, ...]:
    kinds = [statistics.median(one.kinds[kind] for one in rounds) for kind in KINDS]
    dragon = statistics.median(one.dragon for one in rounds)
    generator = statistics.median(one.generator for one in rounds)
    bound = 1e6 / dragon if shape.is_apart else cores * 1e6 / (dragon + generator)
    return (
        str(shape),
        *rate_cells([one.per_second for one in rounds]),
        *(f"{micros:.0f}" for micros in (*kinds, dragon, generator)),
        f"{bound:,.0f}",
        " + ".join(f"{micros:.0f}" for micros in rounds[-1].servers),
    )
