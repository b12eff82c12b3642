"""A child process of `dragon run` is kept running, whatever becomes of it and of the machine."""

import os
import signal
from pathlib import Path

from dragon.background import stop_signal
from dragon.local.process import Process
from tests.support.decoders import Logs, lives
from tests.support.waiting import eventually


async def test_one_that_cannot_be_started_again_is_tried_until_it_can(
    tmp_path: Path, logs: Logs
) -> None:
    stopped = stop_signal()
    shell, away, told = tmp_path / "shell", tmp_path / "away", tmp_path / "pids"
    shell.symlink_to("/bin/sh")
    told.touch()

    def pids() -> list[int]:
        return [int(line) for line in told.read_text().splitlines()]

    def is_tried() -> bool:
        return any(line["event"] == "process_not_started" for line in logs)

    command = [str(shell), "-c", f"echo $$ >> '{told}'; exec sleep 600"]
    async with Process("program", command, dict(os.environ)):
        await eventually(pids)
        shell.rename(away)
        os.kill(pids()[0], signal.SIGKILL)
        await eventually(is_tried)
        away.rename(shell)
        await eventually(lambda: len(pids()) == 2)
    assert not any(map(lives, pids()))
    assert not stopped.is_set()
