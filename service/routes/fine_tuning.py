"""The same jobs under OpenAI's fine-tuning routes: what was written to follow a job there follows one here."""

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Job
from contract.store import Store, checkpoints, jobs, listing, rows
from service import alias, deps, shapes
from service.openapi import problems

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

_JOB: Final = r"^job_[0-9a-z]{26}$"
_EVENT: Final = r"^job_[0-9a-z]{26}-[0-9]{1,15}$"
_CHECKPOINT: Final = r"^ckpt_[0-9a-z]{26}$"
Limit = Annotated[int, Field(ge=1, le=100)]


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Limit = 20
    """How many a page."""


class JobSpan(_Page):
    """Which jobs a page shows."""

    after: Annotated[str | None, Field(pattern=_JOB)] = None
    """Id of the last job of the page before."""


class EventSpan(_Page):
    """Which events a page shows."""

    after: Annotated[str | None, Field(pattern=_EVENT)] = None
    """Id of the last event of the page before."""


class CheckpointSpan(_Page):
    """Which checkpoints a page shows."""

    limit: Limit = 10
    """How many a page."""
    after: Annotated[str | None, Field(pattern=_CHECKPOINT)] = None
    """Id of the last checkpoint of the page before."""


@router.get("", operation_id="list_fine_tuning_jobs", summary="List jobs in OpenAI's shape", responses=problems(422, 503))
def listed(span: Annotated[JobSpan, Query()], store: deps.Store, tenant: deps.Tenant) -> shapes.FineTuningJobList:
    """A page of jobs, newest first. Jobs are submitted by `POST /v1/jobs` only: a spec says more than there is room for there."""
    after = listing.Place(0, span.after) if span.after else None  # by age, the priority does not matter
    found = listing.page(store, tenant, span.limit + 1, after=after)
    return shapes.FineTuningJobList(data=[alias.job(row) for row in found[: span.limit]], has_more=len(found) > span.limit)


@router.get("/{job_id}", operation_id="get_fine_tuning_job", summary="Look at a job in OpenAI's shape", responses=problems(404, 503))
def get(job: deps.Job) -> shapes.FineTuningJob:
    """The job as it stands, in the words of the other API; `/v1/jobs/{job_id}` tells all of it."""
    return alias.job(job)


@router.post(
    "/{job_id}/cancel", operation_id="cancel_fine_tuning_job", summary="Cancel a job, OpenAI's way", responses=problems(404, 409, 503)
)
def cancel(job_id: deps.JobId, store: deps.Store, tenant: deps.Tenant) -> shapes.FineTuningJob:
    """As `POST /v1/jobs/{job_id}/cancel`. One that runs stays `running` until it has stopped."""
    return alias.job(jobs.cancel(store, tenant, job_id)[0])


@router.post(
    "/{job_id}/pause", operation_id="pause_fine_tuning_job", summary="Pause a job, OpenAI's way", responses=problems(404, 409, 503)
)
def pause(job_id: deps.JobId, store: deps.Store, tenant: deps.Tenant) -> shapes.FineTuningJob:
    """As `POST /v1/jobs/{job_id}/pause`."""
    return alias.job(jobs.pause(store, tenant, job_id)[0])


@router.post(
    "/{job_id}/resume", operation_id="resume_fine_tuning_job", summary="Resume a job, OpenAI's way", responses=problems(404, 409, 503)
)
def resume(job_id: deps.JobId, store: deps.Store, bell: deps.Bell, tenant: deps.Tenant) -> shapes.FineTuningJob:
    """As `POST /v1/jobs/{job_id}/resume`."""
    job, moved = jobs.resume(store, tenant, job_id)
    if moved:
        bell.ring(job.id)
    return alias.job(job)


@router.get(
    "/{job_id}/events",
    operation_id="list_fine_tuning_events",
    summary="Read a job's events in OpenAI's shape",
    responses=problems(404, 422, 503),
)
def events(job: deps.Job, span: Annotated[EventSpan, Query()], store: deps.Store) -> shapes.FineTuningEventList:
    """A page of the job's history, newest first."""
    before = job.event_seq + 1 if span.after is None else int(span.after.rsplit("-", 1)[1])
    shown = _events_before(store, job, before, span.limit)
    return shapes.FineTuningEventList(data=[alias.event(row) for row in shown], has_more=bool(shown) and shown[-1].seq > 1)


@router.get(
    "/{job_id}/checkpoints",
    operation_id="list_fine_tuning_checkpoints",
    summary="List a job's checkpoints in OpenAI's shape",
    responses=problems(404, 422, 503),
)
def checkpoints_listed(job: deps.Job, span: Annotated[CheckpointSpan, Query()], store: deps.Store) -> shapes.FineTuningCheckpointList:
    """A page of the checkpoints that are kept, newest first."""
    # Ids rise with time, so that "after" has a meaning even where that checkpoint is not kept any longer.
    found = [row for row in checkpoints.listed(store, job) if span.after is None or row.id < span.after]
    shown = [alias.checkpoint(row) for row in found[: span.limit]]
    return shapes.FineTuningCheckpointList(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(found) > span.limit,
    )


def _events_before(store: Store, job: Job, before: int, limit: int) -> list[rows.Event]:
    """The newest `limit` events below seq `before`, newest first; seqs have no gaps."""
    before = min(before, job.event_seq + 1)
    first = max(0, before - 1 - limit)
    return jobs.events(store, job.id, first, before - 1 - first)[::-1] if before - 1 > first else []
