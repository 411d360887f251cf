"""What a client may change of a job that there is: its name, its labels, its place in the queue, and whether it is kept."""

from dataclasses import dataclass, field, replace

from contract.errors import StateConflictError
from contract.job import Job, JobState, Json


@dataclass(frozen=True, slots=True)
class Amendment:
    """New values by field, those that change alone. They stand in the spec too: what is cloned or retried later has them."""

    fields: Json = field(default_factory=dict)
    """`name`, `metadata` (whole) or `priority`."""


def amend(job: Job, asked: Amendment, now: float) -> Job:
    """The job with the new values; itself where it has them already.

    Raises StateConflictError for a new priority of a job that is not queued: nothing is left that it could decide.
    """
    news = {name: value for name, value in asked.fields.items() if getattr(job, name) != value}
    if not news:
        return job
    if "priority" in news and job.state is not JobState.QUEUED:
        raise StateConflictError(f"job {job.id} is {job.state.value}; only a queued job has a place that priority could change")
    return replace(job, **news, spec=job.spec | news, updated_at=now, version=job.version + 1)


def delete(job: Job, now: float) -> Job:
    """The job hidden from everyone; itself where it was before. Raises StateConflictError for one that has not ended."""
    if job.deleted_at is not None:
        return job
    if not job.is_terminal:
        raise StateConflictError(f"job {job.id} is {job.state.value}; cancel it, and delete it once it has ended")
    return replace(job, deleted_at=now, updated_at=now, version=job.version + 1)
