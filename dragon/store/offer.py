"""What a worker offers: how many jobs of each kind the store may send it without being asked."""

from collections import Counter
from collections.abc import Iterable, Mapping

from dragon.schemas import Claim, Kind


class Offer:
    """Counts the jobs that a worker got, and those that it may get in all, since it started.

    What it runs, what is on the way to it, and what it still may be sent are never more than its
    slots. For each `number` the limits only grow, so the calls that tell them may arrive in any
    order, and twice. With a new number the store forgets what it sent and the worker never got;
    what comes with an old one is refused. Number 0 offers nothing: the worker gets what it claims.
    """

    def __init__(self, worker: str, slots: Mapping[Kind, int], *, is_made: bool = True) -> None:
        self.worker = worker
        self.number = int(is_made)
        self.is_open = True
        self.got: Counter[Kind] = Counter()
        self._slots = slots
        self._runs: set[Claim] = set()
        self._used: Counter[Kind] = Counter()
        self._given: dict[Kind, int] = {}

    def limit(self, kind: Kind) -> int:
        """How many the worker may have got in all."""
        return self.got[kind] + (self._slots[kind] - self._used[kind] if self.is_open else 0)

    def limits(self, kinds: Iterable[Kind]) -> dict[Kind, int]:
        return {kind: self.limit(kind) for kind in kinds}

    def free_slots(self) -> dict[Kind, int]:
        """Without those for jobs that are on their way, as far as the store has told."""
        return {
            kind: max(0, self.limit(kind) - max(self.got[kind], self._given.get(kind, 0)))
            for kind in self._slots
        }

    def note_given(self, given: Mapping[Kind, int]) -> None:
        """What the store has given in all, as it answers a claim."""
        self._given.update(given)

    def take(self, claim: Claim) -> None:
        """A job came, and has a slot."""
        self._runs.add(claim)
        self._used[claim.job.kind] += 1
        self.got[claim.job.kind] += 1

    def free(self, claim: Claim) -> None:
        """The job needs its slot no longer; harmless when told twice."""
        if claim in self._runs:
            self._runs.remove(claim)
            self._used[claim.job.kind] -= 1

    def lend(self, kind: Kind, slots: int) -> None:
        """A job needs so many slots fewer for a time; fewer than none when it takes them back.

        What was offered of them stays so: until a job has ended, there may be one more of its kind.
        """
        self._used[kind] -= slots

    def renew(self) -> None:
        """Make another one: what is on the way may be lost."""
        self.number += bool(self.number)
        self._given.clear()

    def set_open(self, is_open: bool) -> None:
        """Closed, it offers nothing, and what is on the way is refused."""
        if is_open != self.is_open:
            self.is_open = is_open
            self.renew()
