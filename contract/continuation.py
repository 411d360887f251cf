"""What a job begins with that goes on from another one: the retry of a job that failed, the extension of one that succeeded."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import ValidationError

from contract.errors import InvalidSpecError, StateConflictError
from contract.events import StopReason, machine_class
from contract.job import Job, JobState, Json
from contract.spec import JobSpec, faults

Begin = Literal["last", "start"]
"""Where a retry begins: at the last checkpoint, or anew."""
Resume = Literal["bitwise", "anywhere"]
"""As `checkpoints.resume` of a spec."""


class Relation(StrEnum):
    """What a job is to its parent."""

    RETRY = "retry"
    """The same job again, after a failure or a cancel."""
    EXTENSION = "extension"
    """The same job for more epochs, after it has succeeded."""
    CLONE = "clone"
    """A job of the same spec, but for what was changed of it."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A job about to be created from its parent. The parent itself never changes: it has ended."""

    parent_job_id: str
    relation: Relation
    spec: JobSpec
    start_checkpoint_id: str | None
    """None for one that begins anew."""
    resumes_on: str | None
    """The class of machine that the checkpoint must be resumed on, where the spec asks for that."""
    best: Json | None
    """The parent's `best`, which stands until an epoch of this job beats it."""


def retry(parent: Job, begin: Begin = "last", resume: Resume | None = None) -> Continuation:
    """The job again, where it stopped or from its start; `resume` takes the place of the spec's `checkpoints.resume`.

    Raises StateConflictError, with the remedy, for a job that has not ended or that succeeded.
    """
    if parent.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise StateConflictError(_no_retry(parent))
    policy = parent.spec["checkpoints"] | ({"resume": resume} if resume else {})
    start = (parent.checkpoint_id or parent.start_checkpoint_id) if begin == "last" else None
    return _from(parent, Relation.RETRY, {**parent.spec, "checkpoints": policy}, start)


def extension(parent: Job, stop_reason: str, more_epochs: int) -> Continuation:
    """The job for so many epochs more, from its last checkpoint. `stop_reason` is what its result says ended it.

    Raises StateConflictError, with the reason, for a job that more epochs would mean nothing to, and InvalidSpecError where there
    would be more of them than a spec may ask for.
    """
    if reason := _no_extension(parent, stop_reason):
        raise StateConflictError(f"job {parent.id} {reason}")
    return _from(parent, Relation.EXTENSION, {**parent.spec, "epochs": parent.spec["epochs"] + more_epochs}, parent.checkpoint_id)


def _from(parent: Job, relation: Relation, document: Json, start_checkpoint_id: str | None) -> Continuation:
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidSpecError(faults.of(error, document, JobSpec)) from None
    bound = spec.checkpoints.resume == "bitwise" and start_checkpoint_id is not None
    best = parent.best if start_checkpoint_id is not None else None
    return Continuation(parent.id, relation, spec, start_checkpoint_id, _class_of(parent) if bound else None, best)


def _class_of(parent: Job) -> str | None:
    """Where the parent's checkpoint was written. One whose spec let it resume anywhere kept no note of that, but of its machine."""
    if parent.resumes_on or parent.machine is None:
        return parent.resumes_on
    return machine_class(parent.machine["torch"], parent.machine["device"], parent.machine["cpu_capability"])


def _no_retry(parent: Job) -> str:
    if parent.state is JobState.SUCCEEDED:
        return f"job {parent.id} has succeeded; extend it by more epochs, or submit its spec anew"
    return f"job {parent.id} is {parent.state.value}; only a job that failed or was cancelled can be retried"


def _no_extension(parent: Job, stop_reason: str) -> str | None:
    """Why the job cannot be extended; None where it can."""
    if parent.state in {JobState.FAILED, JobState.CANCELLED}:
        return f"has {_ended(parent)} and cannot be extended; retry it"
    if parent.state is not JobState.SUCCEEDED:
        return f"is {parent.state.value}; only a job that has succeeded can be extended"
    if parent.spec.get("polish"):
        return "was polished: its support is frozen and no phase is left that more epochs could go to; submit its spec with more epochs"
    match stop_reason:
        case StopReason.EARLY_STOPPING:
            return "was ended by early_stopping, which would end it again at once; submit its spec with more patience"
        case StopReason.TOLERANCE:
            return "was ended by its tolerance, which would end it again at once; submit its spec with a smaller one"
    return None if parent.checkpoint_id else "has no checkpoint to go on from; submit its spec with more epochs"


def _ended(parent: Job) -> str:
    return "failed" if parent.state is JobState.FAILED else "been cancelled"
