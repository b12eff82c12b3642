"""The `dragon` command as tests use it: run it, find what it printed."""

import json
import os
import re
import subprocess
import sys

from tests.support.paths import ROOT
from tests.support.processes import Dragon
from tests.support.waiting import DEADLINE_SECONDS

COMMAND = [sys.executable, "-m", "dragon"]
UNKNOWN = "A" * 26


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **variables}


def dragon_command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def here(dragon: Dragon) -> tuple[str, str]:
    return "--data", str(dragon.data)


def credentials(dragon: Dragon) -> tuple[str, str]:
    """The secret and the api key that a start printed."""
    match = re.search(r"secret +(\S+)\n +api key +(\S+)", "\n".join(dragon.output))
    assert match
    return match[1], match[2]


def created_key(dragon: Dragon, name: str) -> str:
    """The key of a task that has ended."""
    ended = dragon_command("create", "hello", f"name={name}", "--wait", *here(dragon))
    key = json.loads(ended.stdout)["key"]
    assert isinstance(key, str)
    return key
