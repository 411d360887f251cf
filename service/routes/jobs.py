"""Submitting jobs, looking at them, and everything that is asked of them later: cancel, pause, resume, retry, extend."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Job, JobState
from contract.spec import plan
from contract.store import Store, jobs
from contract.store.jobs import Submission
from service import actions, cursors, deps, shapes, specs, views
from service.body import Document, OptionalDocument
from service.errors import BadHeaderError
from service.openapi import EXTENSION_BODY, RETRY_BODY, SPEC_BODY, header, problems

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_HEADERS: Final = {"Location": header("Path of the job."), "Idempotency-Replayed": header("`true` on the reply to a repeated key.")}
_LOCATION: Final = {"Location": header("Path of the new job.")}

Key = Annotated[str | None, Header(alias="Idempotency-Key", description="Any text of your own, 1 to 255 printable characters.")]


class Filters(BaseModel):
    """Which jobs a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Jobs a page."""
    cursor: str | None = None
    """`next_cursor` of the page before, under the same filters."""
    status: Annotated[list[JobState], Field(max_length=16)] = []
    """Only jobs in this status; repeat it for several."""


@router.post(
    "",
    operation_id="submit_job",
    summary="Submit a training job",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": _HEADERS}, **problems(400, 413, 415, 422, 503)},
    openapi_extra=SPEC_BODY,
)
def submit(
    document: Document,
    response: Response,
    store: deps.Store,
    bell: deps.Bell,
    tenant: deps.Tenant,
    idempotency_key: Key = None,
) -> shapes.Job:
    """Check the spec, write the job down, and tell a free worker. After a 201 the job is kept whatever breaks, and ends in
    exactly one of `succeeded`, `failed` and `cancelled`.

    With an `Idempotency-Key` a submission can be repeated safely: the same key and spec answer 201 with the same job, as it
    stands by then, and `Idempotency-Replayed: true`; the same key with another spec answers 422.
    """
    submission = jobs.submit(store, tenant, specs.read(document, store, tenant), _key(idempotency_key))
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return _created(submission, response, store, bell)


@router.post(
    "/validate",
    operation_id="validate_job",
    summary="Check a spec without submitting it",
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=SPEC_BODY,
)
def validate(document: Document, store: deps.Store, tenant: deps.Tenant) -> shapes.Validation:
    """The same checks by the same code as a submission: what it would train, or everything that is wrong with the spec."""
    spec = specs.read(document, store, tenant)
    layers = plan.layers(spec.model, spec.dataset.shape())
    return shapes.Validation(
        spec=spec.model_dump(mode="json"),
        parameters=plan.parameters(layers),
        layers=[shapes.Layer(name=layer.name, weight=layer.weight, bias=layer.bias, parameters=layer.parameters) for layer in layers],
    )


@router.get("", operation_id="list_jobs", summary="List jobs, newest first", responses=problems(400, 422, 503))
def listed(filters: Annotated[Filters, Query()], store: deps.Store, tenant: deps.Tenant) -> shapes.JobList:
    """A page of jobs. Jobs submitted while you turn pages come before the first page; none is shown twice or left out."""
    before = cursors.decode(filters.cursor, filters.status) if filters.cursor is not None else None
    found = jobs.page(store, tenant, filters.limit + 1, before, filters.status)
    shown = found[: filters.limit]
    more = len(found) > len(shown)
    following = cursors.encode(shown[-1].id, filters.status) if more else None
    return shapes.JobList(data=_shown(store, shown), has_more=more, next_cursor=following)


@router.get("/{job_id}", operation_id="get_job", summary="Look at a job", responses=problems(404, 503))
def get(job: deps.Job, store: deps.Store) -> shapes.Job:
    """The job as it stands: status with its history, progress, newest metrics, and where to read on."""
    return _shown(store, [job])[0]


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=status.HTTP_202_ACCEPTED,
    responses={200: {"model": shapes.Job, "description": "It was cancelled, or on its way there, already."}, **problems(404, 409, 503)},
)
def cancel(job_id: deps.JobId, response: Response, store: deps.Store, tenant: deps.Tenant) -> shapes.Job:
    """A queued or paused job is cancelled at once; a running one stops at its next step, with a checkpoint. Repeating is harmless."""
    job, moved = jobs.cancel(store, tenant, job_id)
    return _moved(job, moved, response, store)


@router.post(
    "/{job_id}/pause",
    operation_id="pause_job",
    summary="Pause a job",
    status_code=status.HTTP_202_ACCEPTED,
    responses={200: {"model": shapes.Job, "description": "It was paused, or on its way there, already."}, **problems(404, 409, 503)},
)
def pause(job_id: deps.JobId, response: Response, store: deps.Store, tenant: deps.Tenant) -> shapes.Job:
    """A queued job rests at once; a running one stops at its next step, with a checkpoint, and its worker is free for others. Its
    limits do not run while it rests. Repeating is harmless; a job that ends before it has stopped keeps its end."""
    job, moved = jobs.pause(store, tenant, job_id)
    return _moved(job, moved, response, store)


@router.post(
    "/{job_id}/resume",
    operation_id="resume_job",
    summary="Resume a paused job",
    status_code=status.HTTP_202_ACCEPTED,
    responses={200: {"model": shapes.Job, "description": "It is queued or running anyway."}, **problems(404, 409, 503)},
)
def resume(job_id: deps.JobId, response: Response, store: deps.Store, bell: deps.Bell, tenant: deps.Tenant) -> shapes.Job:
    """The job waits for a worker again, at its old place by age and priority, and goes on from its checkpoint. Repeating is
    harmless. One that is still `pausing` answers 409: resume it once it is `paused`."""
    job, moved = jobs.resume(store, tenant, job_id)
    if moved:
        bell.ring(job.id)
    return _moved(job, moved, response, store)


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Retry a job that failed or was cancelled",
    status_code=status.HTTP_202_ACCEPTED,
    responses={
        200: {"model": shapes.Job, "description": "The retry that there is already.", "headers": _LOCATION},
        202: {"headers": _LOCATION},
        **problems(400, 404, 409, 413, 415, 422, 503),
    },
    openapi_extra=RETRY_BODY,
)
def retry(
    job: deps.Job, document: OptionalDocument, response: Response, store: deps.Store, bell: deps.Bell, tenant: deps.Tenant
) -> shapes.Job:
    """A job that has ended never changes: its retry is a new job of the same spec, with limits of its own, that goes on from the
    last checkpoint or, if that is asked for, begins anew. `parent` names the job that it retries.

    Repeating is harmless: while there is a retry that has not failed or been cancelled itself, the answer is that one. Asked for
    otherwise than that one was, a second answers 409.
    """
    asked = actions.read(actions.Retry, document)
    submission = jobs.retry(store, tenant, job.id, asked.begin, asked.resume)
    response.status_code = status.HTTP_200_OK if submission.replayed else status.HTTP_202_ACCEPTED
    return _created(submission, response, store, bell)


@router.post(
    "/{job_id}/extend",
    operation_id="extend_job",
    summary="Train a job that succeeded for more epochs",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": _HEADERS}, **problems(400, 404, 409, 413, 415, 422, 503)},
    openapi_extra=EXTENSION_BODY,
)
def extend(
    job: deps.Job,
    document: Document,
    response: Response,
    store: deps.Store,
    bell: deps.Bell,
    tenant: deps.Tenant,
    idempotency_key: Key = None,
) -> shapes.Job:
    """A new job of the same spec but for so many `epochs` more, which goes on from the last checkpoint of this one. `parent` names
    the job that it extends.

    Each request makes a job of its own, unless an `Idempotency-Key` says that it is the same one, as for a submission. A job
    that was polished, or that early stopping or its tolerance ended, answers 409 with the remedy.
    """
    asked = actions.read(actions.Extension, document)
    submission = jobs.extend(store, tenant, job.id, asked.epochs, _key(idempotency_key))
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return _created(submission, response, store, bell)


def _moved(job: Job, moved: bool, response: Response, store: Store) -> shapes.Job:
    response.status_code = status.HTTP_202_ACCEPTED if moved else status.HTTP_200_OK
    return _shown(store, [job])[0]


def _created(submission: Submission, response: Response, store: Store, bell: deps.Bell) -> shapes.Job:
    """Tell a worker of a job that is new, and show it with where it is."""
    if not submission.replayed:
        bell.ring(submission.job.id)
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    return _shown(store, [submission.job])[0]


def _shown(store: Store, found: Sequence[Job]) -> list[shapes.Job]:
    moves = jobs.transitions(store, [job.id for job in found])
    places = jobs.places(store, found)
    return [views.job(job, places.get(job.id), moves[job.id]) for job in found]


def _key(given: str | None) -> str | None:
    if given is not None and not _KEY.fullmatch(given):
        raise BadHeaderError("an Idempotency-Key has 1 to 255 printable ASCII characters; a UUID does well")
    return given
