"""Submitting jobs, looking at them, and cancelling them."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Job, JobState
from contract.spec import plan
from contract.store import Store, jobs
from service import cursors, deps, shapes, specs, views
from service.body import Document
from service.errors import BadHeaderError
from service.openapi import SPEC_BODY, header, problems

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_HEADERS: Final = {"Location": header("Path of the job."), "Idempotency-Replayed": header("`true` on the reply to a repeated key.")}


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
    idempotency_key: Annotated[str | None, Header(description="Any text of your own, 1 to 255 printable characters.")] = None,
) -> shapes.Job:
    """Check the spec, write the job down, and tell a free worker. After a 201 the job is kept whatever breaks, and ends in
    exactly one of `succeeded`, `failed` and `cancelled`.

    With an `Idempotency-Key` a submission can be repeated safely: the same key and spec answer 201 with the same job, as it
    stands by then, and `Idempotency-Replayed: true`; the same key with another spec answers 422.
    """
    submission = jobs.submit(store, tenant, specs.read(document), _key(idempotency_key))
    if not submission.replayed:
        bell.ring(submission.job.id)
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return _shown(store, [submission.job])[0]


@router.post(
    "/validate",
    operation_id="validate_job",
    summary="Check a spec without submitting it",
    responses=problems(400, 413, 415, 422),
    openapi_extra=SPEC_BODY,
)
def validate(document: Document) -> shapes.Validation:
    """The same checks by the same code as a submission: what it would train, or everything that is wrong with the spec."""
    spec = specs.read(document)
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
    """A queued job is cancelled at once; a running one stops at its next step, with a checkpoint. Repeating is harmless."""
    job, moved = jobs.cancel(store, tenant, job_id)
    response.status_code = status.HTTP_202_ACCEPTED if moved else status.HTTP_200_OK
    return _shown(store, [job])[0]


def _shown(store: Store, found: Sequence[Job]) -> list[shapes.Job]:
    moves = jobs.transitions(store, [job.id for job in found])
    places = jobs.places(store, found)
    return [views.job(job, places.get(job.id), moves[job.id]) for job in found]


def _key(given: str | None) -> str | None:
    if given is not None and not _KEY.fullmatch(given):
        raise BadHeaderError("an Idempotency-Key has 1 to 255 printable ASCII characters; a UUID does well")
    return given
