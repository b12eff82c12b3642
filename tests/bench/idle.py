"""A Dragon that has nothing to do: how soon it is ready, its memory, its share of a core."""

import asyncio
import time

import psutil

from tests.bench.plan import Plan
from tests.bench.report import Part


async def measure_idle(plan: Plan) -> list[Part]:
    """All processes of `dragon run`."""
    began = time.perf_counter()
    with plan.dragon("idle") as dragon:
        ready_seconds = time.perf_counter() - began
        family = dragon.family()
        before = [_cpu_seconds(process) for process in family]
        await asyncio.sleep(plan.idle_seconds)
        shares = [
            (_cpu_seconds(process) - cpu) / plan.idle_seconds
            for process, cpu in zip(family, before, strict=True)
        ]
        sizes = [process.memory_info().rss / 2**20 for process in family]
        names = [_name(process) for process in family]
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


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    if "dragon" in command:
        return f"dragon {command[command.index('dragon') + 1]}"
    return "valkey" if "valkey-server" in command[0] else "decoder"
