"""What is asked of a job that there is: cancel, pause, resume, and the jobs that follow from it: retry, extend, clone."""

from typing import Any, Final

from fastapi import APIRouter, Response, status

from contract.job import Job
from contract.store import jobs
from service import actions, cloning, deps, shapes, shown
from service.bodies import CANCEL_BODY, CLONE_BODY, EXTENSION_BODY, RETRY_BODY
from service.body import Document, OptionalDocument
from service.keys import CREATED, Key, at, created, read
from service.openapi import header, problems
from service.state import State

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

_LOCATION: Final = {"Location": header("Path of the new job."), "ETag": header("Of the job as it is shown.")}


def _move(verb: str, summary: str, already: str, *more: int) -> dict[str, Any]:
    """What the routes share that move a job: 202 by the call that does it, 200 by all others, and harmless to repeat."""
    headers = {"headers": {"ETag": header("Of the job as it is shown.")}}
    return {
        "path": f"/{verb}",
        "operation_id": f"{verb}_job",
        "summary": summary,
        "status_code": status.HTTP_202_ACCEPTED,
        "responses": {200: {"model": shapes.Job, "description": already, **headers}, 202: headers, **problems(404, 409, 503, *more)},
    }


@router.post(
    **_move("cancel", "Cancel a job", "It was cancelled, or on its way there, already.", 400, 413, 415, 422), openapi_extra=CANCEL_BODY
)
def cancel(job: deps.Job, document: OptionalDocument, response: Response, state: deps.State, tenant: deps.Tenant) -> shapes.Job:
    """A queued or paused job is cancelled at once; a running one stops at its next step, with a checkpoint. Repeating is harmless.

    With `mode: immediate` a running job is `cancelled` in the reply already, also one that is `cancelling`; its worker stops at its
    next step, and what it did since the last checkpoint is lost.
    """
    asked = actions.read(actions.Cancel, document)
    return _moved(jobs.cancel(state.store, tenant, job.id, immediate=asked.mode == "immediate"), response, state)


@router.post(**_move("pause", "Pause a job", "It was paused, or on its way there, already."))
def pause(job_id: deps.JobId, response: Response, state: deps.State, tenant: deps.Tenant) -> shapes.Job:
    """A queued job rests at once; a running one stops at its next step, with a checkpoint, and its worker is free for others. Its
    limits do not run while it rests. Repeating is harmless; a job that ends before it has stopped keeps its end."""
    return _moved(jobs.pause(state.store, tenant, job_id), response, state)


@router.post(**_move("resume", "Resume a paused job", "It is queued or running anyway."))
def resume(job_id: deps.JobId, response: Response, state: deps.State, tenant: deps.Tenant) -> shapes.Job:
    """The job waits for a worker again, at its old place by age and priority, and goes on from its checkpoint. Repeating is
    harmless. One that is still `pausing` answers 409: resume it once it is `paused`."""
    job, moved = jobs.resume(state.store, tenant, job_id)
    if moved:
        state.bell.ring(job.id)
    return _moved((job, moved), response, state)


@router.post(
    "/retry",
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
def retry(job: deps.Job, document: OptionalDocument, response: Response, state: deps.State, tenant: deps.Tenant) -> shapes.Job:
    """A job that has ended never changes: its retry is a new job of the same spec, with limits of its own, that goes on from the
    last checkpoint or, if that is asked for, begins anew. `parent` names the job that it retries.

    Repeating is harmless: while there is a retry that has not failed or been cancelled itself, the answer is that one. Asked for
    otherwise than that one was, a second answers 409.
    """
    asked = actions.read(actions.Retry, document)
    submission = jobs.retry(state.store, tenant, job.id, asked.begin, asked.resume)
    response.status_code = status.HTTP_200_OK if submission.replayed else status.HTTP_202_ACCEPTED
    return at(submission, response, state)


@router.post(
    "/extend",
    operation_id="extend_job",
    summary="Train a job that succeeded for more epochs",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": CREATED}, **problems(400, 404, 409, 410, 413, 415, 422, 503)},
    openapi_extra=EXTENSION_BODY,
)
def extend(
    job: deps.Job, document: Document, response: Response, state: deps.State, tenant: deps.Tenant, idempotency_key: Key = None
) -> shapes.Job:
    """A new job of the same spec but for so many `epochs` more, which goes on from the last checkpoint of this one. `parent` names
    the job that it extends.

    Each request makes a job of its own, unless an `Idempotency-Key` says that it is the same one, as for a submission. A job
    that was polished, or that early stopping or its tolerance ended, answers 409 with the remedy.
    """
    asked = actions.read(actions.Extension, document)
    return created(jobs.extend(state.store, tenant, job.id, asked.epochs, read(idempotency_key)), response, state)


@router.post(
    "/clone",
    operation_id="clone_job",
    summary="Submit a job like this one",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": CREATED}, **problems(400, 404, 409, 410, 413, 415, 422, 503)},
    openapi_extra=CLONE_BODY,
)
def clone(
    job: deps.Job, document: OptionalDocument, response: Response, state: deps.State, tenant: deps.Tenant, idempotency_key: Key = None
) -> shapes.Job:
    """A new job of this one's spec, with `overrides` merged into it and, if that is asked for, starting from the weights of a
    checkpoint. This one may stand anywhere, and stays as it is; `parent` of the new one names it as a `clone`, or an `extension`
    where `extend_epochs` trains it on as `/extend` does.

    Faults of the new spec are told with pointers into it. Each request makes a job of its own, unless an `Idempotency-Key` says that
    it is the same one, as for a submission.
    """
    asked, key = actions.read(actions.Clone, document), read(idempotency_key)
    if asked.extend_epochs is not None:
        beside = cloning.beside(job, asked.overrides)
        return created(jobs.extend(state.store, tenant, job.id, asked.extend_epochs, key, beside), response, state)
    submission = jobs.clone(state.store, tenant, job.id, lambda parent: cloning.spec(state.store, parent, asked), asked.model_dump(), key)
    return created(submission, response, state)


def _moved(outcome: tuple[Job, bool], response: Response, state: State) -> shapes.Job:
    job, moved = outcome
    response.status_code = status.HTTP_202_ACCEPTED if moved else status.HTTP_200_OK
    return shown.one(state, job, response)
