"""Processor time of a Dragon's processes, as the kernel counts it."""

import psutil


def cpu_seconds(process: psutil.Process) -> float:
    """Of the process itself, without its children."""
    times = process.cpu_times()
    return float(times.user + times.system)


def process_name(process: psutil.Process) -> str:
    """`dragon run`, `dragon serve`, `dragon worker`, `valkey` or `decoder`."""
    command = process.cmdline()
    if "dragon" in command:
        return f"dragon {command[command.index('dragon') + 1]}"
    return "valkey" if "valkey-server" in command[0] else "decoder"
