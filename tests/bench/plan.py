"""How long and how much to measure, and the Dragon that is measured."""

from pathlib import Path

from msgspec import Struct

from tests.support.processes import Dragon

SECRET = "bench-secret"
HEADERS = {"Authorization": f"Secret {SECRET}"}

CONFIG = """
task_packages = ["tasks", "tests.site_tasks"]
fetch_allow = ["127.0.0.1"]
log_level = "{log_level}"

[[accounts]]
name = "bench"
secrets = ["bench-secret"]
"""


class MeasuredDragon(Dragon):
    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


class Plan(Struct, frozen=True, kw_only=True):
    """`rounds` alternate between the servers; each load lasts `seconds`."""

    directory: Path
    log_level: str
    rounds: int = 5
    seconds: float = 2.0
    tasks: int = 10_000
    thumb_seconds: float = 6.0
    film_seconds: float = 30.0
    streams: int = 5_000
    idle_seconds: float = 5.0

    @classmethod
    def quick(cls, directory: Path, log_level: str) -> "Plan":
        """Shows that the measurements work; the numbers mean little."""
        return cls(
            directory=directory,
            log_level=log_level,
            rounds=2,
            seconds=0.4,
            tasks=1_000,
            thumb_seconds=1.5,
            film_seconds=5.0,
            streams=300,
            idle_seconds=1.0,
        )

    def dragon(self, name: str, *arguments: str) -> MeasuredDragon:
        """A Dragon of its own for one part, with an account that has no limits."""
        config = CONFIG.format(log_level=self.log_level)
        return MeasuredDragon(self.directory / name, *arguments, config=config)
