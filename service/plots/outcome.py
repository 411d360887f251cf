"""What a picture of a result is drawn from, or why there is none."""

from contract.job import Job, JobState, Json
from contract.store import Store, jobs
from service.errors import NoResultError, NotFinishedError


def of(store: Store, job: Job) -> Json:
    """The job's result. Raises NotFinishedError and NoResultError."""
    body: Json | None = jobs.result(store, job.id)
    if body is not None:
        return body
    if job.state in {JobState.FAILED, JobState.CANCELLED}:
        raise NoResultError(f"the job is {job.state.value} and has no result to draw; the loss it told is at plots/loss.png")
    raise NotFinishedError(f"the job is {job.state.value}; this is drawn from its result, which comes with its end")
