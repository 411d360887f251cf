"""What must hold after every write, whoever wrote and whatever went wrong: the promises of a job's life, as one judge of two rows.

The judge keeps books of its own (who holds a job, what its history says, which deaths it had) and believes nothing the store says.
"""

from collections import Counter
from dataclasses import replace
from typing import NamedTuple, Protocol

from contract.job import HELD, MOVES, TERMINAL, Job, JobState

OWNERS_DEEDS = frozenset({"renew", "checkpoint", "succeed", "fail", "finish_cancel", "release", "crash"})
"""What only the present owner may do."""
CUTS = frozenset({"expire", "crash"})
"""Deeds that take a job from its owner: the fence rises with them."""
NEVER_FALLING = ("fence", "checkpoint_seq", "event_seq", "attempt", "crash_count", "release_count")


class Violation(AssertionError):  # noqa: N818  a promise is violated, not mistaken
    """A promise was broken. The message names it, and the row."""


class Lease(NamedTuple):
    """The right to write about a job. `attempt` numbers the claims of all jobs, so that two owners differ even under one fence."""

    job_id: str
    fence: int
    attempt: int


class Named(Protocol):
    """What the judge reads of the tables beside the row: whether a result stands, and whether a checkpoint's bytes do."""

    def has_result(self, job_id: str) -> bool: ...
    def has_bytes(self, job_id: str, checkpoint_id: str) -> bool: ...


class Judge:
    """Sees every accepted write, and raises Violation where one breaks a promise."""

    __slots__ = ("claimed", "deaths", "holder", "moves", "replayed")

    def __init__(self) -> None:
        self.holder: dict[str, Lease | None] = {}
        self.replayed: dict[str, JobState] = {}
        """The state that the status events give, one after another."""
        self.claimed: dict[str, set[int]] = {}
        """Every fence under which a job was ever held."""
        self.deaths: Counter[str] = Counter()
        """Crashes and expiries of each job since its last checkpoint."""
        self.moves: Counter[tuple[JobState, JobState]] = Counter()

    def created(self, job: Job) -> None:
        self.holder[job.id], self.replayed[job.id], self.claimed[job.id] = None, job.state, set()

    def wrote(
        self, tables: Named, before: Job, after: Job, deed: str, lease: Lease | None, event: tuple[JobState, JobState] | None
    ) -> None:
        """Judge a write that was accepted: `deed` by the holder of `lease`, or by nobody's owner. `event` is the status event with it."""
        self._row(before, after, deed)
        self._history(after, event)
        self._ownership(before, after, deed, lease)
        if (after.state is JobState.SUCCEEDED) is not tables.has_result(after.id):
            raise _broken("a job has its result exactly when it has succeeded", after)
        if after.checkpoint_id and not tables.has_bytes(after.id, after.checkpoint_id):
            raise _broken("a checkpoint that a row names has its bytes", after)

    def _row(self, before: Job, after: Job, deed: str) -> None:
        if before.state in TERMINAL:
            raise _broken(f"a job that has {before.state.value} never changes", after)
        if after.state is not before.state and after.state not in MOVES[before.state]:
            raise _broken(f"no move leads from {before.state.value} to {after.state.value}", after)
        if deed == "ring":
            if replace(after, next_ring_at=before.next_ring_at, ring_seq=before.ring_seq) != before:
                raise _broken("a ring changes nothing but when the next is due", after)
        elif after.version <= before.version:
            raise _broken("the version rises with every write that shows", after)
        for name in NEVER_FALLING:
            if getattr(after, name) < getattr(before, name):
                raise _broken(f"{name} never falls", after)
        held = after.state in HELD
        if (after.owner is not None) is not held or (after.lease_until is not None) is not held:
            raise _broken("a job is held exactly when it has an owner and a lease", after)
        if (after.finished_at is not None) is not (after.state in TERMINAL) or (after.error is not None) is not (
            after.state is JobState.FAILED
        ):
            raise _broken("an ended job has its end, and a failed one its error", after)

    def _history(self, after: Job, event: tuple[JobState, JobState] | None) -> None:
        if event:
            if event[0] is not self.replayed[after.id]:
                raise _broken(f"its events say {self.replayed[after.id].value} before a move from {event[0].value}", after)
            self.replayed[after.id] = event[1]
            self.moves[event] += 1
        if self.replayed[after.id] is not after.state:
            raise _broken(f"its events give the state {self.replayed[after.id].value}", after)

    def _ownership(self, before: Job, after: Job, deed: str, lease: Lease | None) -> None:
        job_id = after.id
        if deed == "claim":
            if after.fence in self.claimed[job_id]:
                raise _broken("a fence has one owner at most", after)
            self.claimed[job_id].add(after.fence)
            self.holder[job_id] = lease
        elif deed in OWNERS_DEEDS and lease != self.holder[job_id]:
            raise _broken(f"a stale owner has no say: {deed} by {lease}, held by {self.holder[job_id]}", after)
        if deed in CUTS:
            self.deaths[job_id] += 1
            if after.fence <= before.fence:
                raise _broken("the fence rises when a job is taken from its owner", after)
        if deed == "checkpoint":
            self.deaths[job_id] = 0
        if after.state not in HELD:
            self.holder[job_id] = None


def _broken(promise: str, job: Job) -> Violation:
    return Violation(f"{promise} (job {job.id}: {job.state.value}, fence {job.fence}, version {job.version}, {job.status_reason})")
