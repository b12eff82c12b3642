"""What lies in the directories of workers and runs is deleted, whatever comes between."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from dragon.engine.worker.workdir import WorkDirectory
from tests.support.studio import run_context


async def test_a_sweep_takes_what_a_dead_worker_left_and_no_other(tmp_path: Path) -> None:
    data = str(tmp_path)
    with WorkDirectory(data, "first") as first, WorkDirectory(data, "second") as second:
        mine, others = first.path / "run", second.path / "run"
        dead = tmp_path / "work" / "dead" / "run"
        for path in (mine, others, dead):
            path.mkdir(parents=True)
        first.sweep()
        assert (mine.exists(), others.exists(), dead.parent.exists()) == (True, True, False)
    assert os.listdir(tmp_path / "work") == []


async def test_a_run_that_is_cancelled_again_and_again_leaves_no_directory(tmp_path: Path) -> None:
    context = run_context(tmp_path)
    context.output("output", "text/plain").path.write_text("half of it")
    # All threads are busy, as with a slow disk: deleting has to wait for one.
    is_free = threading.Event()
    busy = asyncio.gather(*(asyncio.to_thread(is_free.wait) for _ in range(100)))
    closing = asyncio.create_task(context.close())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    is_free.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert os.listdir(tmp_path) == []
    await busy
