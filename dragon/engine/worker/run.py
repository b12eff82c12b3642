"""What the runs of all jobs have in common, whatever their work is."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from dragon.engine.files.outputs import Outputs
from dragon.engine.network.webhooks import WebHooks
from dragon.engine.watching import Watches
from dragon.engine.worker.context import Decoders, Programs
from dragon.engine.worker.persist import persist
from dragon.engine.worker.sources import Downloads
from dragon.engine.worker.telling import Telling
from dragon.registry import Registry
from dragon.schemas import Claim, OutputFile, State
from dragon.settings import Settings
from dragon.store.offer import Offer
from dragon.store.store import Store


class Tools(Struct, frozen=True, kw_only=True):
    """What all runs of a worker share."""

    settings: Settings
    registry: Registry
    store: Store
    outputs: Outputs
    downloads: Downloads
    watches: Watches
    decoders: Decoders
    programs: Programs
    hooks: WebHooks
    directory: Path


class Outcome(Struct, frozen=True, kw_only=True):
    """How a run ended: with what to tell, or to be run again after a pause."""

    state: State
    result: Any = msgspec.UNSET
    error: Any = msgspec.UNSET
    files: tuple[OutputFile, ...] = ()
    pause_seconds: float = 0.0


class Run(ABC):
    """One attempt at a job. Cancelled, it writes nothing, for the lease is lost or handed back.

    Its slot is free for another while it writes how it ended.
    """

    def __init__(self, tools: Tools, claim: Claim, offer: Offer) -> None:
        self.claim = claim
        self.phases: dict[str, float] = {}
        self.is_ending = False
        self.is_stopped = False
        """It was told to stop."""
        self.is_in_vain = False
        """Its job has ended without it: nobody will ask for the files that it has kept."""
        self.tools = tools
        self.telling = Telling(tools.store, tools.outputs, claim, tools.settings)
        self.offer = offer

    async def run(self) -> Outcome:
        """Do the work and write how it ended, once; returns that."""
        outcome = await self.attempt()
        self.is_ending = True
        self.offer.free(self.claim)
        await self.write(outcome)
        return outcome

    async def hand_back(self) -> bool:
        """Queue the job again without counting the attempt; False if it is held no longer."""
        line = self.telling.line("queued")
        return await persist(
            self.claim.job.key,
            lambda: self.tools.store.retry(self.claim, line, pause_seconds=0, is_counted=False),
        )

    @abstractmethod
    async def attempt(self) -> Outcome:
        """Do the work. What goes wrong with it is an outcome, too."""

    @abstractmethod
    async def write(self, outcome: Outcome) -> None:
        """Tell the store; it refuses if the lease was lost meanwhile."""
