"""A Dragon that has nothing to do: how soon it is ready, its memory, its share of a core."""

import asyncio
import time

from tests.bench.plan import Plan
from tests.bench.processes import cpu_seconds, process_name
from tests.bench.report import Part


async def measure_idle(plan: Plan) -> list[Part]:
    """All processes of `dragon run`."""
    began = time.perf_counter()
    with plan.dragon("idle") as dragon:
        ready_seconds = time.perf_counter() - began
        family = dragon.family()
        before = [cpu_seconds(process) for process in family]
        await asyncio.sleep(plan.idle_seconds)
        shares = [
            (cpu_seconds(process) - cpu) / plan.idle_seconds
            for process, cpu in zip(family, before, strict=True)
        ]
        sizes = [process.memory_info().rss / 2**20 for process in family]
        names = [process_name(process) for process in family]
    rows = [
        (name, f"{size:.1f}", f"{share:.1%}")
        for name, size, share in zip(names, sizes, shares, strict=True)
    ]
    return [
        Part(
            title=f"idle, ready {ready_seconds:.2f} seconds after the start",
            columns=("process", "RSS MiB", "of one core"),
            rows=[*rows, ("all", f"{sum(sizes):.1f}", f"{sum(shares):.1%}")],
            notes=("RSS counts pages that processes share once for each of them",),
        )
    ]
