"""What a worker does, one small step at a time, as `worker.attempt` does it: claim, fetch, train, store, name, renew, conclude.

Between any two steps it can be killed, frozen or cut off, and it acts on what it last heard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contract import lifecycle
from contract.errors import LostLeaseError, StateConflictError, StoreUnavailableError
from contract.events import FailureCode
from contract.job import Job, JobState
from contract.lifecycle import Failure, Report
from tests.faults.invariants import Lease, Violation
from tests.faults.model import FRESH, LEASE_SECONDS, Tables, Weights, told_it_lost, trained

RENEW_SECONDS = LEASE_SECONDS / 4
REST_SECONDS = 15.0
DIVERGED = Failure(FailureCode.DIVERGED, "loss became nan at the step it always does", "try a lower lr")


class Phase(StrEnum):
    """What an attempt does next."""

    FETCHING = "fetching"
    TRAINING = "training"
    STORING = "storing"
    """The bytes of a checkpoint go to the artifact store."""
    NAMING = "naming"
    """The row of the job is pointed at them."""
    CONCLUDING = "concluding"


PUBLISHING: tuple[Phase, Phase] = (Phase.STORING, Phase.NAMING)
"""In this order: a row must never name bytes that are not there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to train, and what goes wrong with it whoever trains it."""

    steps: int
    every: int
    """Steps from one checkpoint to the next."""
    dies_at: int | None = None
    """The trainer always dies before this step …"""
    dies_as: FailureCode = FailureCode.CRASH_LOOP
    """… by itself, or as one that hangs and is killed."""
    diverges_at: int | None = None

    def digest(self) -> Weights:
        """The weights of an attempt that nothing interrupted."""
        weights = FRESH
        for _ in range(self.steps):
            weights = trained(weights)
        return weights


@dataclass(slots=True)
class Attempt:
    """One claim and what its owner believes."""

    lease: Lease
    plan: Plan
    heard: Job
    """The row as the last answer gave it."""
    renewed_at: float
    phase: Phase = Phase.FETCHING
    weights: Weights = FRESH
    saved: int = -1
    """Steps in the last checkpoint of this attempt's line; -1 before the first."""
    stopping: bool = False
    naming_since: float = 0.0
    told: int = 0
    """Batches of news that were answered."""
    told_step: int = 0
    outgoing: tuple[int, int] | None = None
    """Number and step of the batch whose answer is missing: told again as it was, since it may have been written."""
    end: tuple[str, tuple[Any, ...]] | None = None
    """How to conclude: the deed and what it takes."""


Send = Callable[..., Any]
"""Carries a deed to the tables: name, arguments. Raises StoreUnavailableError where no answer came, whether the deed was done or not."""


class Worker:
    """A supervisor and its trainer."""

    def __init__(self, name: str, tables: Tables, send: Send, plans: dict[str, Plan]) -> None:
        self.name = name
        self.attempt: Attempt | None = None
        self.is_draining = False
        self.trainer_dies = False
        """The trainer is killed from outside at its next step."""
        self.disk_is_full = False
        self.is_unsure = False
        """Whether a claim was not answered, and may have been done."""
        self._tables, self._send, self._plans = tables, send, plans

    def act(self, now: float, rung: str | None = None) -> str:
        """Do the next thing, whatever it is, and say what it was. Raises Violation alone."""
        try:
            if self.attempt is None:
                return self._claim(rung, now)
            return self._go_on(self.attempt, now)
        except StoreUnavailableError:
            return self._unanswered(now)
        except LostLeaseError:
            self.attempt = None
            return "is cut off and drops its attempt"

    def _claim(self, job_id: str | None, now: float) -> str:
        try:
            taken = self._take(job_id) or (self._take(None) if job_id else None)
        except StoreUnavailableError:
            self.is_unsure = True
            raise
        if not taken:
            return "finds nothing to claim"
        job, lease = taken
        self.attempt = Attempt(lease, self._plans[job.id], job, now)
        return f"claims {job.id} under fence {job.fence}"

    def _take(self, job_id: str | None) -> Any:
        if self.is_unsure:
            self._send("give_back", self.name)
        self.is_unsure = False
        return self._send("claim", self.name, job_id)

    def _go_on(self, attempt: Attempt, now: float) -> str:
        if now - attempt.renewed_at >= RENEW_SECONDS and attempt.phase is Phase.TRAINING:
            return self._renew(attempt, now)
        match attempt.phase:
            case Phase.FETCHING:
                return self._fetch(attempt)
            case Phase.TRAINING:
                return self._train(attempt, now)
            case Phase.STORING:
                return self._store(attempt)
            case Phase.NAMING:
                return self._name(attempt, now)
            case Phase.CONCLUDING:
                return self._conclude(attempt, now)

    def _fetch(self, attempt: Attempt) -> str:
        kept = self._send("kept", attempt.lease.job_id)
        if kept:
            if kept[0].prefix not in self._tables.bytes:
                raise Violation(f"a resume finds the bytes of its checkpoint ({kept[0].id} of job {attempt.lease.job_id})")
            attempt.weights = self._tables.bytes[kept[0].prefix]
            attempt.saved = attempt.weights[0]
        attempt.phase = Phase.TRAINING
        return f"resumes at step {attempt.weights[0]}"

    def _renew(self, attempt: Attempt, now: float) -> str:
        self._tell(attempt, now)
        job = attempt.heard
        if job.deadline_at is not None and job.state is JobState.RUNNING and job.updated_at > job.deadline_at:
            attempt.end = ("fail", (lifecycle.runtime_exceeded(job),))
        attempt.stopping = attempt.stopping or job.state is not JobState.RUNNING or attempt.end is not None or self.is_draining
        return f"renews and hears {job.state.value}"

    def _tell(self, attempt: Attempt, now: float) -> None:
        """Prolong the lease and have one batch of news written down."""
        step = attempt.weights[0]
        if attempt.outgoing is None and step > attempt.told_step:
            attempt.outgoing = (attempt.told + 1, step)
        number, told_step = attempt.outgoing or (None, None)
        attempt.heard = self._send("renew", attempt.lease, Report(step=told_step), number)
        attempt.renewed_at = now
        if attempt.outgoing:
            attempt.told, attempt.told_step = attempt.outgoing
            attempt.outgoing = None

    def _train(self, attempt: Attempt, now: float) -> str:
        plan, step = attempt.plan, attempt.weights[0]
        if self.trainer_dies or plan.dies_at == step:
            self.trainer_dies = False
            return self._stop(attempt) if attempt.stopping or self.is_draining else self._end(attempt, "crash", plan.dies_as)
        if attempt.stopping:
            return self._publish(attempt, now) if attempt.saved < step else self._stop(attempt)
        if plan.diverges_at == step:
            return self._end(attempt, "fail", DIVERGED)
        if step == plan.steps:
            return self._publish(attempt, now) if attempt.saved < step else self._end(attempt, "succeed", attempt.weights)
        if step and step % plan.every == 0 and attempt.saved < step:
            return self._publish(attempt, now)
        attempt.weights = trained(attempt.weights)
        return f"trains step {step + 1}"

    def _publish(self, attempt: Attempt, now: float) -> str:
        attempt.phase, attempt.naming_since = PUBLISHING[0], now
        return f"writes a checkpoint after step {attempt.weights[0]}"

    def _store(self, attempt: Attempt) -> str:
        if self.disk_is_full:
            return self._end(attempt, "release", REST_SECONDS)
        self._tables.bytes[prefix_of(attempt)] = attempt.weights
        self._published(attempt, Phase.STORING)
        return f"stores {prefix_of(attempt)}"

    def _name(self, attempt: Attempt, now: float) -> str:
        if now - attempt.naming_since > LEASE_SECONDS:
            return self._end(attempt, "release", REST_SECONDS)
        attempt.heard = self._send("checkpoint", attempt.lease, prefix_of(attempt))
        self._published(attempt, Phase.NAMING)
        return f"names {prefix_of(attempt)}"

    def _published(self, attempt: Attempt, phase: Phase) -> None:
        if phase is PUBLISHING[0]:
            attempt.phase = PUBLISHING[1]
        else:
            attempt.phase, attempt.saved = Phase.TRAINING, attempt.weights[0]

    def _stop(self, attempt: Attempt) -> str:
        deed, arguments = attempt.end or ("release", (0.0,))
        return self._end(attempt, deed, *arguments)

    def _end(self, attempt: Attempt, deed: str, *arguments: Any) -> str:
        attempt.phase, attempt.end = Phase.CONCLUDING, (deed, arguments)
        return f"is to {deed}"

    def _conclude(self, attempt: Attempt, now: float) -> str:
        assert attempt.end is not None
        if attempt.outgoing or attempt.told_step < attempt.weights[0]:
            self._tell(attempt, now)
            return "tells the rest of its news"
        deed, arguments = attempt.end
        try:
            self._send(deed, attempt.lease, *arguments)
        except StateConflictError:
            # A cancel came between the last renewal and now.
            if deed != "succeed":
                raise
            attempt.end = ("finish_cancel", ())
            return "may not succeed any more"
        except LostLeaseError as error:
            if deed == "succeed" and (breach := told_it_lost(self._tables, attempt.lease, error)):
                raise breach from error
            raise
        self.attempt = None
        return f"{deed}: done"

    def _unanswered(self, now: float) -> str:
        attempt = self.attempt
        if attempt and attempt.phase is Phase.TRAINING and now - attempt.renewed_at > LEASE_SECONDS:
            self.attempt = None
            return "has not been answered for a lease and drops its attempt"
        return "gets no answer"


def prefix_of(attempt: Attempt) -> str:
    """Where the bytes of a checkpoint go that the attempt writes now: a folder of its own fence."""
    return f"{attempt.lease.job_id}/{attempt.lease.fence}/{attempt.weights[0]}"
